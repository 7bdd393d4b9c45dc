//! CQL (version 4 of the native protocol, as the `scylla-cql` crate writes and reads it) over a stream that was opened elsewhere: statements
//! go out, rows come back as JSON.

use core::net::SocketAddr;
use std::borrow::Cow;

use anyhow::{Context as _, bail, ensure};
pub use scylla_cql::Consistency;
use scylla_cql::frame::protocol_features::ProtocolFeatures;
use scylla_cql::frame::request::query::{Query, QueryParameters};
use scylla_cql::frame::request::{AuthResponse, SerializableRequest, Startup};
use scylla_cql::frame::response::Response;
use scylla_cql::frame::response::error::DbError;
use scylla_cql::frame::response::result::{Result as CqlResult, ResultWithDeserializedMetadata};
use scylla_cql::frame::{SerializedRequest, parse_response_body_extensions, read_response_frame};
use scylla_cql::value::{CqlValue, Row as CqlRow};
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::client::TlsStream;

use super::{ANSWER, OPERATOR, Stream, within};

/// Bytes of a frame's header, and where in it the length of what follows is.
const HEADER: usize = 9;
const LENGTH_AT: usize = 5;
/// The longest answer that is read, in bytes: a host may be hostile.
const MAX_ANSWER: u32 = 16 * 1024 * 1024;

/// A row: values by column. Types that nothing here asks for are null.
pub type Row = Map<String, Value>;

/// A connection to one node, of one role.
pub struct Connection {
    stream: TlsStream<Box<dyn Stream>>,
    address: SocketAddr,
}

/// What a node said instead of doing what it was asked.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct Refused {
    /// Its own words.
    pub reason: String,
    /// It does not know this role with this password.
    pub credentials: bool,
}

impl Connection {
    /// Logs in as a role at the other end of a stream, which is the node at `address`.
    ///
    /// # Errors
    /// When the node does not speak CQL, lets everyone in, or does not let this role in ([`Refused`]).
    pub async fn log_in(
        stream: TlsStream<Box<dyn Stream>>,
        address: SocketAddr,
        role: &str,
        password: &str,
    ) -> anyhow::Result<Self> {
        let mut connection = Self { stream, address };
        let options = [("CQL_VERSION", "3.0.0"), ("DRIVER_NAME", OPERATOR)];
        let options = options.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value))).into();
        match connection.exchange(&Startup { options }).await? {
            // RFC 4616: nobody, the user, the password.
            Response::Authenticate(_) => {
                let response = Some(format!("\0{role}\0{password}").into_bytes());
                match connection.exchange(&AuthResponse { response }).await {
                    Ok(Response::AuthSuccess(_)) => Ok(connection),
                    Ok(_) => bail!("{address} answers something unexpected to a password"),
                    Err(error) => Err(error).with_context(|| format!("cannot log in at {address} as {role}")),
                }
            }
            _ => bail!("{address} lets everyone in without a password"),
        }
    }

    /// The rows that a statement gives, which most replicas must have answered.
    ///
    /// # Errors
    /// As [`Self::query_at`].
    pub async fn query(&mut self, statement: &str) -> anyhow::Result<Vec<Row>> {
        self.query_at(statement, Consistency::LocalQuorum).await
    }

    /// The rows that a statement gives. Read from all replicas, they are made the same on all.
    ///
    /// # Errors
    /// When the node refuses it ([`Refused`]), does not answer in time or answers something else.
    pub async fn query_at(&mut self, statement: &str, consistency: Consistency) -> anyhow::Result<Vec<Row>> {
        let parameters = QueryParameters { consistency, ..QueryParameters::default() };
        let query = Query { contents: Cow::Borrowed(statement), parameters };
        let address = self.address;
        match within(ANSWER * 4, address, self.exchange(&query)).await? {
            Response::Result(result) => rows(result),
            _ => bail!("{address} answers something unexpected"),
        }
    }

    /// One request and its answer. An error that the node reports is [`Refused`].
    async fn exchange(&mut self, request: &impl SerializableRequest) -> anyhow::Result<Response> {
        let request = SerializedRequest::make(request, None, false)?;
        self.stream.write_all(request.get_data()).await?;
        self.stream.flush().await?;
        let mut header = [0; HEADER];
        self.stream.read_exact(&mut header).await.with_context(|| format!("{} hangs up", self.address))?;
        let mut length = [0; 4];
        length.copy_from_slice(&header[LENGTH_AT..]);
        ensure!(u32::from_be_bytes(length) <= MAX_ANSWER, "{} answers more than {MAX_ANSWER} bytes", self.address);
        let (head, opcode, body) = read_response_frame(&mut header.as_slice().chain(&mut self.stream)).await?;
        let body = parse_response_body_extensions(head.flags, None, body)?.body;
        match Response::deserialize(&ProtocolFeatures::default(), opcode, body, None)? {
            Response::Error(error) => {
                let credentials = matches!(error.error, DbError::AuthenticationError);
                Err(Refused { reason: error.reason, credentials }.into())
            }
            response => Ok(response),
        }
    }
}

fn rows(result: CqlResult) -> anyhow::Result<Vec<Row>> {
    let ResultWithDeserializedMetadata::Rows((rows, _)) = result.deserialize_metadata()? else { return Ok(Vec::new()) };
    let names: Vec<String> = rows.metadata().col_specs().iter().map(|column| column.name().to_owned()).collect();
    let row = |row: CqlRow| {
        let values = row.columns.into_iter().map(|value| value.map_or(Value::Null, json));
        names.iter().cloned().zip(values).collect()
    };
    rows.rows_iter::<CqlRow>()?.map(|found| Ok(row(found?))).collect()
}

/// A value as JSON.
fn json(value: CqlValue) -> Value {
    match value {
        CqlValue::Ascii(text) | CqlValue::Text(text) => Value::String(text),
        CqlValue::Boolean(value) => Value::Bool(value),
        CqlValue::Int(number) => number.into(),
        CqlValue::BigInt(number) => number.into(),
        CqlValue::Inet(address) => Value::String(address.to_string()),
        CqlValue::Uuid(id) => Value::String(id.to_string()),
        CqlValue::List(values) | CqlValue::Set(values) => values.into_iter().map(json).collect(),
        CqlValue::Map(entries) => {
            let entry = |(name, value)| Some((json(name).as_str()?.to_owned(), json(value)));
            Value::Object(entries.into_iter().filter_map(entry).collect())
        }
        _ => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_plain_json() {
        let text = |text: &str| CqlValue::Text(text.to_owned());
        let map = CqlValue::Map(vec![(text("class"), text("Simple")), (text("dc1"), text("3"))]);
        assert_eq!(json(map), serde_json::json!({ "class": "Simple", "dc1": "3" }));
        assert_eq!(json(CqlValue::Set(vec![text("SELECT")])), serde_json::json!(["SELECT"]));
        assert_eq!(json(CqlValue::Inet([10, 0, 0, 1].into())), serde_json::json!("10.0.0.1"));
        assert_eq!(json(CqlValue::Double(1.5)), Value::Null);
    }
}
