//! `/events`: the log from where the device left off, each notification with a tag that the device acknowledges.
//!
//! What is not acknowledged when the websocket ends is sent again on the next one.

use std::collections::VecDeque;
use std::sync::Arc;

use axum::extract::ws::{Message, WebSocket};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, interval};

use super::{GOING_AWAY, LOOK, PAGE, PING, POLICY, close, farewell, heard, is_there};
use crate::app::App;
use crate::domain::notification::LIFETIME;
use crate::domain::{ClientId, NotificationId, Time};
use crate::http::Caller;
use crate::push::Hint;
use crate::store::StoreError;

/// Unacknowledged notifications under way at a time.
const WINDOW: usize = 500;

/// A client's frame.
#[derive(Deserialize)]
#[serde(tag = "type", content = "data", rename_all = "snake_case")]
enum Frame {
    Ack { delivery_tag: u64, multiple: bool },
    AckFullSync,
}

/// Why a stream ends.
enum End {
    Gone,
    Close(u16, &'static str),
}

impl From<StoreError> for End {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "an event stream is closed, for the store does not answer");
        Self::Close(GOING_AWAY, "the log cannot be read")
    }
}

/// What is under way.
struct Stream<'a> {
    app: &'a App,
    caller: &'a Caller,
    client: ClientId,
    socket: WebSocket,
    /// The last that was sent or passed over.
    position: Option<NotificationId>,
    /// Tags under way, each with the notification it stands for, and whether it was acknowledged.
    under_way: VecDeque<(u64, Option<NotificationId>, bool)>,
    next_tag: u64,
    /// Sent once the device has all that was there when it came.
    marker: Option<String>,
    /// The device was told that notifications are gone, and has not said yet that it has caught up.
    awaits_full_sync: bool,
}

/// Serves a websocket until one side ends it.
pub async fn serve(
    app: &Arc<App>,
    socket: WebSocket,
    caller: &Caller,
    client: ClientId,
    marker: Option<String>,
    mut hints: Receiver<Hint>,
) {
    let mut stream = Stream {
        app,
        caller,
        client,
        socket,
        position: None,
        under_way: VecDeque::new(),
        next_tag: 1,
        marker,
        awaits_full_sync: false,
    };
    let farewell = farewell(app);
    tokio::pin!(farewell);
    let mut ping = interval(PING);
    let mut look = interval(LOOK);
    let mut last_heard = Instant::now();
    let mut step = stream.begin().await;
    while step.is_ok() {
        step = tokio::select! {
            hint = hints.recv() => match heard(hint) {
                Some(Hint::Log) => stream.deliver().await,
                // What is in no log is not for this stream.
                Some(Hint::Transient(_)) => Ok(()),
                Some(Hint::ClientGone(gone)) if gone == client => Err(End::Close(POLICY, "the client was removed")),
                Some(Hint::ClientGone(_)) => Ok(()),
                Some(Hint::Missed) if !is_there(app, caller, Some(client)).await => Err(End::Close(POLICY, "the client was removed")),
                Some(Hint::Missed) => stream.deliver().await,
                None => Err(End::Close(GOING_AWAY, "no more events")),
            },
            _ = look.tick() => stream.deliver().await,
            message = stream.socket.recv() => {
                last_heard = Instant::now();
                stream.hear(message).await
            }
            _ = ping.tick() => if last_heard.elapsed() > PING * 3 {
                Err(End::Close(GOING_AWAY, "no sign of life"))
            } else {
                stream.send(Message::Ping(bytes::Bytes::new())).await
            },
            () = &mut farewell => Err(End::Close(GOING_AWAY, "the server is restarted")),
        };
    }
    if let Err(End::Close(code, reason)) = step {
        close(stream.socket, code, reason).await;
    }
}

impl Stream<'_> {
    /// Finds where the device left off: what it acknowledged last, else when it was registered.
    async fn begin(&mut self) -> Result<(), End> {
        let acknowledged = self.app.store.notifications.acknowledged(self.caller.user, self.client).await?;
        let client = self
            .app
            .store
            .clients
            .get(self.caller.user, self.client)
            .await?
            .ok_or(End::Close(POLICY, "unknown client"))?;
        let registered = u64::try_from(client.time.milliseconds()).unwrap_or(0) * 10_000;
        let position = acknowledged.unwrap_or_else(|| NotificationId::from_ticks(registered.saturating_sub(1)));
        let oldest = Time::now().plus_seconds(-LIFETIME).milliseconds();
        let age = position.ticks().and_then(|ticks| i64::try_from(ticks / 10_000).ok()).unwrap_or(0);
        self.position = Some(position);
        if age < oldest {
            self.awaits_full_sync = true;
            return self.send_json(&json!({"type": "notifications_missed"})).await;
        }
        self.deliver().await
    }

    /// Sends what the log holds beyond the position, as far as the window allows.
    async fn deliver(&mut self) -> Result<(), End> {
        if self.awaits_full_sync {
            return Ok(());
        }
        while self.under_way.len() < WINDOW {
            let page = self.app.store.notifications.after(self.caller.user, self.position, PAGE).await?;
            for entry in &page.entries {
                if entry.is_for(Some(self.client)) {
                    let tag = self.take_tag(Some(entry.id));
                    let data = json!({"delivery_tag": tag, "event": entry.view()});
                    self.send_json(&json!({"type": "event", "data": data})).await?;
                    self.app.metrics.delivered(1);
                }
                self.position = Some(entry.id);
            }
            if !page.has_more {
                if let Some(marker) = self.marker.take() {
                    let tag = self.take_tag(None);
                    let data = json!({"delivery_tag": tag, "marker_id": marker});
                    self.send_json(&json!({"type": "synchronization", "data": data})).await?;
                }
                return Ok(());
            }
        }
        Ok(())
    }

    fn take_tag(&mut self, notification: Option<NotificationId>) -> u64 {
        let tag = self.next_tag;
        self.next_tag += 1;
        self.under_way.push_back((tag, notification, false));
        tag
    }

    async fn hear(&mut self, message: Option<Result<Message, axum::Error>>) -> Result<(), End> {
        let text = match message {
            None | Some(Err(_) | Ok(Message::Close(_))) => return Err(End::Gone),
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(_)) => return Ok(()),
        };
        match serde_json::from_str(text.as_str()) {
            Ok(Frame::Ack { delivery_tag, multiple }) => self.acknowledge(delivery_tag, multiple).await,
            Ok(Frame::AckFullSync) => {
                self.awaits_full_sync = false;
                self.position = self.app.store.notifications.position(self.caller.user).await?;
                if let Some(position) = self.position {
                    self.app.store.notifications.acknowledge(self.caller.user, self.client, position).await?;
                }
                self.deliver().await
            }
            Err(_) => Err(End::Close(POLICY, "the frame is not understood")),
        }
    }

    async fn acknowledge(&mut self, tag: u64, multiple: bool) -> Result<(), End> {
        for entry in &mut self.under_way {
            if entry.0 == tag || (multiple && entry.0 < tag) {
                entry.2 = true;
            }
        }
        let mut reached = None;
        while let Some((_, notification, true)) = self.under_way.front() {
            reached = notification.or(reached);
            self.under_way.pop_front();
        }
        if let Some(position) = reached {
            self.app.store.notifications.acknowledge(self.caller.user, self.client, position).await?;
        }
        self.deliver().await
    }

    async fn send_json(&mut self, value: &Value) -> Result<(), End> {
        self.send(Message::Text(value.to_string().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        self.socket.send(message).await.map_err(|_| End::Gone)
    }
}
