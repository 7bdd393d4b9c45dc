//! The nouns of the client API: what users, clients, conversations and notifications are, and how they look as JSON.
//!
//! Shapes follow the published API description (swagger, version 15); versions 0 to 15 are served alike.

pub mod asset;
pub mod client;
pub mod connection;
pub mod conversation;
pub mod event;
pub mod id;
pub mod message;
pub mod notification;
pub mod team;
pub mod time;
pub mod user;

pub use id::{ClientId, ConversationId, NotificationId, Qualified, TeamId, UserId};
pub use time::Time;
