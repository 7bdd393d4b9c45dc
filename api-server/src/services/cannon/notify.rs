//! `/await`: each frame is a notification, in the order of the log.

use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, interval};

use super::{GOING_AWAY, LOOK, PAGE, PING, POLICY, close, farewell, heard, is_there};
use crate::app::App;
use crate::domain::notification::NotificationView;
use crate::domain::{ClientId, NotificationId};
use crate::http::Caller;
use crate::push::{Hint, Transient};

/// Why a websocket ends.
enum End {
    /// The client is gone.
    Gone,
    /// We close it.
    Close(u16, &'static str),
}

/// Serves a websocket until one side ends it.
pub async fn serve(
    app: &Arc<App>,
    mut socket: WebSocket,
    caller: &Caller,
    client: Option<ClientId>,
    mut hints: Receiver<Hint>,
    mut position: Option<NotificationId>,
) {
    let mut ping = interval(PING);
    let mut look = interval(LOOK);
    let mut last_heard = Instant::now();
    let farewell = farewell(app);
    tokio::pin!(farewell);
    let end = loop {
        let step = tokio::select! {
            hint = hints.recv() => match heard(hint) {
                Some(Hint::Log) => deliver(app, &mut socket, caller, client, &mut position).await,
                Some(Hint::Transient(transient)) => deliver_transient(&mut socket, client, &transient).await,
                Some(Hint::ClientGone(gone)) if Some(gone) == client => Err(End::Close(POLICY, "the client was removed")),
                Some(Hint::ClientGone(_)) => Ok(()),
                Some(Hint::Missed) if !is_there(app, caller, client).await => Err(End::Close(POLICY, "the client was removed")),
                Some(Hint::Missed) => deliver(app, &mut socket, caller, client, &mut position).await,
                None => Err(End::Close(GOING_AWAY, "no more events")),
            },
            _ = look.tick() => deliver(app, &mut socket, caller, client, &mut position).await,
            message = socket.recv() => {
                last_heard = Instant::now();
                answer(&mut socket, message).await
            }
            _ = ping.tick() => if last_heard.elapsed() > PING * 3 {
                Err(End::Close(GOING_AWAY, "no sign of life"))
            } else {
                send(&mut socket, Message::Ping(bytes::Bytes::new())).await
            },
            () = &mut farewell => Err(End::Close(GOING_AWAY, "the server is restarted")),
        };
        if let Err(end) = step {
            break end;
        }
    };
    if let End::Close(code, reason) = end {
        close(socket, code, reason).await;
    }
}

/// Sends what the log holds beyond the position.
async fn deliver(
    app: &App,
    socket: &mut WebSocket,
    caller: &Caller,
    client: Option<ClientId>,
    position: &mut Option<NotificationId>,
) -> Result<(), End> {
    loop {
        let page = match app.store.notifications.after(caller.user, *position, PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "a log cannot be read; the websocket is closed, so that its client reads it");
                return Err(End::Close(GOING_AWAY, "the log cannot be read"));
            }
        };
        for entry in &page.entries {
            let own = entry.origin.as_deref().is_some_and(|origin| origin == caller.connection);
            if entry.is_for(client) && !own {
                send(socket, frame(&entry.view())).await?;
                app.metrics.delivered(1);
            }
            *position = Some(entry.id);
        }
        if !page.has_more {
            return Ok(());
        }
    }
}

async fn deliver_transient(socket: &mut WebSocket, client: Option<ClientId>, transient: &Transient) -> Result<(), End> {
    let is_for = match (&transient.clients, client) {
        (Some(clients), Some(client)) => clients.contains(&client),
        (None, _) | (_, None) => true,
    };
    if !is_for {
        return Ok(());
    }
    send(socket, frame(&NotificationView { id: transient.id, payload: &transient.payload, transient: Some(true) }))
        .await
}

fn frame(view: &NotificationView<'_>) -> Message {
    // Types of this crate always have a JSON form.
    Message::Text(serde_json::to_string(view).unwrap_or_default().into())
}

async fn answer(socket: &mut WebSocket, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
    match message {
        None | Some(Err(_) | Ok(Message::Close(_))) => Err(End::Gone),
        // Clients in browsers cannot send the protocol's own pings.
        Some(Ok(Message::Text(text))) if text.as_str() == "ping" => send(socket, Message::Text("pong".into())).await,
        Some(Ok(Message::Binary(bytes))) if bytes.as_ref() == b"ping" => {
            send(socket, Message::Text("pong".into())).await
        }
        Some(Ok(_)) => Ok(()),
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    socket.send(message).await.map_err(|_| End::Gone)
}
