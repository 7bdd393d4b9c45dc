//! Two processes that are one backend: what is done through one is heard through the other.

use std::path::Path;

use wire_api::config::Config;
use wire_api::domain::UserId;
use wire_api::store::search::SearchQuery;

use super::{Process, task};
use crate::api_stores::store;
use crate::common::world::World;

pub fn whichever_is_asked(world: &World, configuration: &Path) {
    let [one, two] = [(); 2].map(|()| Process::start(world, configuration));
    for (rest, websocket) in [(&one, &two), (&two, &one)] {
        let (rest, websocket) = (format!("http://{}", rest.address), format!("ws://{}", websocket.address));
        world.run(&["smoke", "--rest", &rest, "--websocket", &websocket]).expect_code(0);
    }

    // A user who is missing in the directory is there again once it is made anew.
    let name = format!("w{}", uuid::Uuid::new_v4().simple());
    let body = format!("{{\"name\": \"{name}\", \"email\": \"{name}@example.com\", \"password\": \"{name}\"}}");
    let mut register = world.sandbox().command("curl");
    register.args(["--silent", "--fail", "--header", "content-type: application/json", "--data-binary", &body]);
    let registered = register.arg(format!("http://{}/register", one.address)).output().unwrap();
    let user: serde_json::Value = serde_json::from_slice(&registered.stdout).unwrap();
    let user: UserId = user["id"].as_str().unwrap().parse().unwrap();
    let config = Config::read(configuration).unwrap();
    let find = || {
        let text = name.clone();
        let query = SearchQuery { searcher: UserId::random(), team: None, team_only: false, text, size: 9 };
        let found = world.inside(async { store(&config).search.find(&query).await.unwrap() });
        found.into_iter().map(|document| document.id).collect::<Vec<_>>()
    };
    assert_eq!(find(), [user]);
    world.inside(async { store(&config).search.delete(user).await.unwrap() });
    assert_eq!(find(), []);
    task(world, "reindex", configuration);
    assert_eq!(find(), [user]);
}
