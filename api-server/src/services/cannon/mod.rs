//! Websockets: `/await` (notifications as they come) and `/events` (with acknowledgements, beginning where the device left off).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use serde::Deserialize;
use tokio::sync::broadcast;

use crate::app::App;
use crate::domain::ClientId;
use crate::http::{Access, Answer, App as AppState, Caller, Routes, error};

mod events;
mod notify;

/// The routes.
pub fn routes() -> Routes {
    Routes::default().get("/await", Access::Socket, notifications).get("/events", Access::Socket, stream)
}

/// Bytes of a frame that a client sends: pings and acknowledgements.
const FRAME: usize = 16 * 1024;

/// Bytes of a connection's buffers; many connections are idle.
const BUFFER: usize = 4 * 1024;

/// The server pings this often, and gives up a client that was silent three times as long.
const PING: Duration = Duration::from_secs(30);

/// The log is read this often even without a hint: hints may be lost.
const LOOK: Duration = Duration::from_secs(60);

/// Notifications read from the log at a time.
const PAGE: usize = 100;

#[derive(Deserialize)]
struct Parameters {
    client: Option<ClientId>,
    sync_marker: Option<String>,
}

async fn notifications(
    State(app): AppState,
    caller: Caller,
    Query(parameters): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Answer {
    let client = parameters.client.or(caller.client);
    admit(&app, &caller, client).await?;
    // Listening begins before the log's end is read: nothing falls between.
    let hints = app.push.subscribe(caller.user);
    let position = app.store.notifications.position(caller.user).await?;
    // From now on, so that a process that ends waits for those that are about to open, too.
    let open = app.metrics.open_socket();
    Ok(small(upgrade).on_upgrade(move |socket| async move {
        let _open = open;
        notify::serve(&app, socket, &caller, client, hints, position).await;
    }))
}

async fn stream(
    State(app): AppState,
    caller: Caller,
    Query(parameters): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Answer {
    let client = parameters.client.or(caller.client).ok_or(error::BAD_REQUEST.saying("the client is missing"))?;
    admit(&app, &caller, Some(client)).await?;
    let hints = app.push.subscribe(caller.user);
    let open = app.metrics.open_socket();
    Ok(small(upgrade).on_upgrade(move |socket| async move {
        let _open = open;
        events::serve(&app, socket, &caller, client, parameters.sync_marker, hints).await;
    }))
}

/// Whether a websocket may be opened now, for a device that is there.
async fn admit(app: &App, caller: &Caller, client: Option<ClientId>) -> Result<(), crate::http::Failure> {
    if *app.ending.borrow() || app.metrics.sockets() >= app.config.limits.websockets {
        return Err(error::DRAINING.into());
    }
    if let Some(client) = client {
        app.store.clients.get(caller.user, client).await?.ok_or(error::UNKNOWN_CLIENT)?;
    }
    Ok(())
}

fn small(upgrade: WebSocketUpgrade) -> WebSocketUpgrade {
    upgrade.max_message_size(FRAME).max_frame_size(FRAME).read_buffer_size(BUFFER).write_buffer_size(BUFFER)
}

/// Waits until the process ends and then for a moment of its own, so that not all clients come back at once.
async fn farewell(app: &Arc<App>) {
    let mut ending = app.ending.subscribe();
    // The sender lives in the app, which lives longer.
    let _ = ending.wait_for(|ending| *ending).await;
    let milliseconds = app.config.limits.drain_seconds * 1000;
    let random = u64::from(getrandom::u32().unwrap_or(0));
    tokio::time::sleep(Duration::from_millis(milliseconds * random / u64::from(u32::MAX))).await;
}

/// Whether a device is still there, after hints were missed. Doubt counts for it: the log cannot be read then, either.
async fn is_there(app: &App, caller: &Caller, client: Option<ClientId>) -> bool {
    match client {
        Some(client) => !matches!(app.store.clients.get(caller.user, client).await, Ok(None)),
        None => true,
    }
}

/// Closes with a reason; the client may be gone already.
async fn close(mut socket: WebSocket, code: u16, reason: &'static str) {
    let _ = socket.send(Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
}

/// The server goes away.
const GOING_AWAY: u16 = 1001;
/// The device or the client's frame is not one that may go on.
const POLICY: u16 = 1008;

/// A hint, or that some were missed.
fn heard(received: Result<crate::push::Hint, broadcast::error::RecvError>) -> Option<crate::push::Hint> {
    match received {
        Ok(hint) => Some(hint),
        Err(broadcast::error::RecvError::Lagged(_)) => Some(crate::push::Hint::Missed),
        Err(broadcast::error::RecvError::Closed) => None,
    }
}
