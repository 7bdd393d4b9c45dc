//! The API's description.

use axum::http::Method;

use super::world::World;

#[tokio::test]
async fn the_description_names_every_public_route_and_every_reference_resolves() {
    let world = World::new();
    let document = world.call("", Method::GET, "/api/swagger.json", None).await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    for route in wire_api::server::public(&wire_api::services::Service::ALL).table() {
        let method = route.method.as_str().to_lowercase();
        assert!(document["paths"][route.path][&method].is_object(), "{method} {} is missing", route.path);
    }
    let text = document.to_string();
    for reference in text.split("\"#/").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(document.pointer(&format!("/{reference}")).is_some(), "{reference} leads nowhere");
    }
}
