//! A TCP connection of the host as a byte stream here.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream, ReadBuf};
use tokio::sync::oneshot;
use wire_deploy_agent::protocol::{Frame, MAX_DATA};

use super::flow::{Flow, Received};
use super::{Mux, Open};

/// Bytes that wait between the stream's user and its task, each way.
const BUFFER: usize = 64 * 1024;

/// The user's end. Dropping it ends the connection on the host.
pub(super) struct Tunnel {
    inner: DuplexStream,
    flow: Arc<Flow>,
    _dropped: oneshot::Sender<()>,
}

/// The stream of an exchange that was answered with success.
pub(super) fn open(mux: Mux, exchange: Open, flow: Arc<Flow>) -> Tunnel {
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    let (sender, dropped) = oneshot::channel();
    tokio::spawn(carry(mux, exchange, Arc::clone(&flow), theirs, dropped));
    Tunnel { inner: ours, flow, _dropped: sender }
}

async fn carry(mux: Mux, exchange: Open, flow: Arc<Flow>, stream: DuplexStream, dropped: oneshot::Receiver<()>) {
    let id = exchange.id;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let (all_sent, sent) = oneshot::channel();
    let outgoing = async {
        let mut bytes = vec![0; MAX_DATA];
        while let Some(room) = flow.room().await {
            let read = reader.read(&mut bytes[..room]).await.unwrap_or(0);
            if read == 0 {
                break;
            }
            flow.sent(read);
            if mux.send(Frame::data(id, bytes[..read].to_vec())).await.is_err() {
                break;
            }
        }
        let _ = mux.send(Frame::end(id)).await;
        let _ = all_sent.send(());
    };
    let incoming = async {
        loop {
            let bytes = match flow.receive().await {
                Some(Received::Bytes(bytes)) => bytes,
                Some(Received::End) => return writer.shutdown().await.is_ok(),
                None => return false,
            };
            // In pieces, so that the peer may send on while the user still reads.
            for piece in bytes.chunks(MAX_DATA) {
                if writer.write_all(piece).await.is_err() {
                    return false;
                }
                if let Some(granted) = flow.consumed(piece.len()) {
                    let _ = mux.credit.send(Frame::credit(id, granted));
                }
            }
        }
    };
    let abandoned = async {
        let _ = dropped.await;
        let _ = sent.await;
    };
    let reset = tokio::select! {
        biased;
        ((), whole) = async { tokio::join!(outgoing, incoming) } => !whole,
        () = abandoned => true,
        () = flow.until_reset() => true,
    };
    // After the data, not before it: what was written before the stream was dropped still goes out.
    if reset {
        let _ = mux.send(Frame::reset(id)).await;
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(context, buffer);
        let at_end = matches!(polled, Poll::Ready(Ok(()))) && buffer.filled().len() == before && buffer.remaining() > 0;
        if at_end && self.flow.is_reset() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        polled
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
