//! The directory follows the users' store: with each change, and as a whole when it was lost (`wire-api reindex`).

use crate::app::App;
use crate::domain::Time;
use crate::domain::user::User;
use crate::http::Failure;
use crate::store;
use crate::store::search::{Document, Search};
use crate::store::users::Users;

/// Users read at a time.
const PAGE: usize = 500;

/// A user's entry; none for those who are not to be found.
fn entry(user: &User) -> Option<Document> {
    (user.searchable && user.is_active()).then(|| Document {
        id: user.id,
        name: user.name.clone(),
        handle: user.handle.clone(),
        accent_id: user.accent_id,
        team: user.team,
    })
}

/// Enters a user into the directory as they are now.
///
/// # Errors
/// The store's.
pub async fn index(app: &App, user: &User) -> Result<(), Failure> {
    match entry(user) {
        Some(document) => app.store.search.put(&document).await?,
        None => app.store.search.delete(user.id).await?,
    }
    Ok(())
}

/// How many users a rebuilt directory has, and how many it must not have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rebuilt {
    /// Entered.
    pub present: usize,
    /// Taken out, if they were there: deleted, suspended, or not to be found.
    pub gone: usize,
}

/// Makes the directory anew from all users. It goes on to be searched and changed meanwhile.
///
/// # Errors
/// A store that does not answer; it can be done again.
pub async fn rebuild(users: &dyn Users, search: &dyn Search) -> store::Result<Rebuilt> {
    let (mut rebuilt, mut after) = (Rebuilt::default(), None);
    loop {
        let read = Time::now();
        let page = users.all(after, PAGE).await?;
        let present: Vec<_> = page.entries.iter().filter_map(entry).collect();
        let gone: Vec<_> = page.entries.iter().filter(|user| entry(user).is_none()).map(|user| user.id).collect();
        search.load(read, &present, &gone).await?;
        rebuilt.present += present.len();
        rebuilt.gone += gone.len();
        after = page.entries.last().map(|user| user.id);
        if !page.has_more || after.is_none() {
            return Ok(rebuilt);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::domain::UserId;
    use crate::domain::user::{AccountStatus, Protocol};
    use crate::store::memory;
    use crate::store::search::SearchQuery;

    fn user(name: &str, status: AccountStatus, searchable: bool) -> User {
        User {
            id: UserId::random(),
            name: name.to_owned(),
            email: None,
            handle: None,
            accent_id: 1,
            assets: Vec::new(),
            locale: "en".to_owned(),
            text_status: None,
            team: None,
            supported_protocols: vec![Protocol::Proteus],
            status,
            searchable,
        }
    }

    #[tokio::test]
    async fn a_directory_that_was_lost_or_is_stale_is_made_anew() {
        let store = memory::store(std::env::temp_dir());
        let [ann, deleted, hidden] = [
            user("ann", AccountStatus::Active, true),
            user("ann deleted", AccountStatus::Deleted, true),
            user("ann hidden", AccountStatus::Active, false),
        ];
        let others = (0..PAGE).map(|number| user(&format!("other {number}"), AccountStatus::Active, true));
        for user in [&ann, &deleted, &hidden].into_iter().cloned().chain(others) {
            store.users.insert(&user).await.unwrap();
        }
        let stale = Document { name: "ann stale".to_owned(), ..entry(&ann).unwrap() };
        let back = Document { id: deleted.id, ..stale.clone() };
        store.search.load(Time::from_milliseconds(0), &[stale, back], &[]).await.unwrap();
        let rebuilt = rebuild(&*store.users, &*store.search).await.unwrap();
        assert_eq!(rebuilt, Rebuilt { present: PAGE + 1, gone: 2 });
        let query = |text: &str| SearchQuery {
            searcher: UserId::random(),
            team: None,
            team_only: false,
            text: text.to_owned(),
            size: 2 * PAGE,
        };
        assert_eq!(store.search.find(&query("ann")).await.unwrap(), [entry(&ann).unwrap()]);
        assert_eq!(store.search.find(&query("other")).await.unwrap().len(), PAGE);
    }
}
