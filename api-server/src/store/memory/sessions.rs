//! Cookies, codes, counts of failures.

use std::collections::HashMap;

use async_trait::async_trait;

use super::Table;
use crate::domain::{Time, UserId};
use crate::store::Result;
use crate::store::codes::{Code, Codes, Purpose};
use crate::store::cookies::{Cookie, Cookies};

/// Cookies by user, codes by purpose and key, failures by name.
#[derive(Default)]
pub struct Sessions {
    cookies: Table<HashMap<UserId, HashMap<u32, Cookie>>>,
    codes: Table<HashMap<(Purpose, String), Code>>,
    failures: Table<HashMap<String, (u32, Time)>>,
}

#[async_trait]
impl Cookies for Sessions {
    async fn put(&self, user: UserId, cookie: &Cookie) -> Result<()> {
        self.cookies.lock().entry(user).or_default().insert(cookie.id, cookie.clone());
        Ok(())
    }

    async fn get(&self, user: UserId, id: u32) -> Result<Option<Cookie>> {
        let now = Time::now();
        let cookies = self.cookies.lock();
        Ok(cookies.get(&user).and_then(|own| own.get(&id)).filter(|cookie| cookie.expires > now).cloned())
    }

    async fn list(&self, user: UserId) -> Result<Vec<Cookie>> {
        let now = Time::now();
        let mut cookies = self.cookies.lock();
        let Some(own) = cookies.get_mut(&user) else { return Ok(Vec::new()) };
        own.retain(|_, cookie| cookie.expires > now);
        let mut list: Vec<_> = own.values().cloned().collect();
        list.sort_by_key(|cookie| (cookie.created, cookie.id));
        Ok(list)
    }

    async fn delete(&self, user: UserId, ids: &[u32]) -> Result<()> {
        if let Some(own) = self.cookies.lock().get_mut(&user) {
            own.retain(|id, _| !ids.contains(id));
        }
        Ok(())
    }
}

#[async_trait]
impl Codes for Sessions {
    async fn put(&self, purpose: Purpose, key: &str, code: &Code) -> Result<()> {
        self.codes.lock().insert((purpose, key.to_owned()), code.clone());
        Ok(())
    }

    async fn get(&self, purpose: Purpose, key: &str) -> Result<Option<Code>> {
        let code = self.codes.lock().get(&(purpose, key.to_owned())).cloned();
        Ok(code.filter(|code| code.expires > Time::now() && code.attempts > 0))
    }

    async fn fail(&self, purpose: Purpose, key: &str) -> Result<()> {
        if let Some(code) = self.codes.lock().get_mut(&(purpose, key.to_owned())) {
            code.attempts = code.attempts.saturating_sub(1);
        }
        Ok(())
    }

    async fn delete(&self, purpose: Purpose, key: &str) -> Result<()> {
        self.codes.lock().remove(&(purpose, key.to_owned()));
        Ok(())
    }

    async fn count_failure(&self, name: &str, window: i64) -> Result<u32> {
        let now = Time::now();
        let mut failures = self.failures.lock();
        failures.retain(|_, (_, until)| *until > now);
        let entry = failures.entry(name.to_owned()).or_insert((0, now.plus_seconds(window)));
        entry.0 += 1;
        Ok(entry.0)
    }

    async fn failures(&self, name: &str) -> Result<u32> {
        let now = Time::now();
        Ok(self.failures.lock().get(name).filter(|(_, until)| *until > now).map_or(0, |(count, _)| *count))
    }

    async fn forget_failures(&self, name: &str) -> Result<()> {
        self.failures.lock().remove(name);
        Ok(())
    }
}
