//! What was applied, written down in the cluster: a Secret for each workload, in the site's namespace.
//!
//! It is written before anything is applied, with everything that will or may be there, and once more at the end with exactly what is there. So a
//! run that is killed loses nothing. The manifests of the last apply that went well are in it, to go back to.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::{Api, ApiError, Mode};
use super::shape::{label, uid};
use super::{Purpose, SITE_LABEL, WORKLOAD_LABEL};
use crate::workloads::{Manifest, ManifestId};

/// The type of the Secret.
const TYPE: &str = "wire-deploy/inventory";
/// The most that the manifests may be unpacked, in bytes: whoever writes Secrets may be hostile.
const MAX_MANIFESTS: u64 = 64 * 1024 * 1024;

/// What was applied of one workload.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Inventory {
    /// All that may be there.
    pub(super) objects: BTreeSet<ManifestId>,
    /// The manifests of the last apply that went well, in the order of their ids.
    pub(super) good: Vec<Manifest>,
}

/// The form in which a manifest is kept.
#[derive(Serialize, Deserialize)]
struct Kept {
    id: ManifestId,
    value: Value,
    template: String,
}

/// The name of a workload's Secret.
pub(super) fn name(workload: &str) -> String {
    format!("wire-deploy-{workload}")
}

/// The Secret's id.
pub(super) fn id(purpose: &Purpose<'_>, workload: &str) -> ManifestId {
    ManifestId {
        api_version: "v1".to_owned(),
        kind: "Secret".to_owned(),
        namespace: Some(purpose.namespace.to_owned()),
        name: name(workload),
    }
}

/// The inventories among a site's Secrets, by workload.
pub(super) fn among(secrets: &[Value]) -> Result<BTreeMap<String, Inventory>, ApiError> {
    let inventories = secrets.iter().filter(|secret| secret["type"] == TYPE);
    inventories
        .map(|secret| Ok((label(secret, WORKLOAD_LABEL).unwrap_or_default().to_owned(), Inventory::of(secret)?)))
        .collect()
}

impl Inventory {
    fn of(secret: &Value) -> Result<Self, ApiError> {
        let name = || secret["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let damaged = || ApiError::Damaged { secret: name() };
        let data = |key: &str| {
            let text = secret["data"][key].as_str()?;
            BASE64.decode(text).ok()
        };
        let objects = serde_json::from_slice(&data("objects").ok_or_else(damaged)?).map_err(|_| damaged())?;
        let mut packed = Vec::new();
        GzDecoder::new(data("good").ok_or_else(damaged)?.as_slice())
            .take(MAX_MANIFESTS)
            .read_to_end(&mut packed)
            .map_err(|_| damaged())?;
        let good: Vec<Kept> = serde_json::from_slice(&packed).map_err(|_| damaged())?;
        let good = good.into_iter().map(|Kept { id, value, template }| Manifest { id, value, template });
        Ok(Self { objects, good: good.collect() })
    }

    /// Whether the last apply went well to its end and was of these manifests.
    pub(super) fn is_settled(&self, manifests: &[Manifest]) -> bool {
        let good: BTreeMap<&ManifestId, &Value> = self.good.iter().map(|good| (&good.id, &good.value)).collect();
        good.len() == manifests.len()
            && manifests
                .iter()
                .all(|manifest| self.objects.contains(&manifest.id) && good.get(&manifest.id) == Some(&&manifest.value))
    }

    fn secret(&self, purpose: &Purpose<'_>, workload: &str) -> Result<Value, std::io::Error> {
        let kept = self.good.iter().map(|Manifest { id, value, template }| Kept {
            id: id.clone(),
            value: value.clone(),
            template: template.clone(),
        });
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(&serde_json::to_vec(&kept.collect::<Vec<_>>())?)?;
        let objects = serde_json::to_vec(&self.objects)?;
        Ok(json!({
            "apiVersion": "v1", "kind": "Secret", "type": TYPE,
            "metadata": {
                "name": name(workload), "namespace": purpose.namespace,
                "labels": { SITE_LABEL: purpose.site, WORKLOAD_LABEL: workload },
            },
            "data": { "objects": BASE64.encode(objects), "good": BASE64.encode(packed.finish()?) },
        }))
    }
}

impl Api<'_> {
    /// What was applied of a workload; an empty inventory if nothing was.
    pub(super) async fn inventory(&self, purpose: &Purpose<'_>, workload: &str) -> Result<Inventory, ApiError> {
        let id = id(purpose, workload);
        let Some(path) = self.find(&id).await? else { return Ok(Inventory::default()) };
        let secret = self.get(&path, &format!("read {id}")).await?;
        secret.as_ref().map_or_else(|| Ok(Inventory::default()), Inventory::of)
    }

    /// Writes down what was applied.
    pub(super) async fn write_inventory(
        &self,
        purpose: &Purpose<'_>,
        workload: &str,
        inventory: &Inventory,
    ) -> Result<(), ApiError> {
        let id = id(purpose, workload);
        let failed =
            |error: &dyn std::fmt::Display| ApiError::Unreadable { place: id.to_string(), message: error.to_string() };
        let secret = inventory.secret(purpose, workload).map_err(|error| failed(&error))?;
        let path = self.find(&id).await?.ok_or_else(|| failed(&"the API knows no Secrets"))?;
        // Nobody else has a say in it.
        let mode = Mode { dry: false, force: true };
        self.apply(&path, &secret, mode, &format!("apply {id}")).await.map(drop)
    }

    /// Deletes what was written down of a workload that is no more.
    pub(super) async fn forget_inventory(&self, purpose: &Purpose<'_>, workload: &str) -> Result<(), ApiError> {
        let id = id(purpose, workload);
        let Some(path) = self.find(&id).await? else { return Ok(()) };
        let Some(secret) = self.get(&path, &format!("read {id}")).await? else { return Ok(()) };
        self.delete(&path, uid(&secret), &format!("delete {id}")).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use wire_deploy_agent::digest::FingerprintKey;

    use super::*;
    use crate::workloads::found::Allowed;

    fn manifest(name: &str, data: &str) -> Manifest {
        let id = ManifestId {
            api_version: "v1".to_owned(),
            kind: "ConfigMap".to_owned(),
            namespace: Some("wire".to_owned()),
            name: name.to_owned(),
        };
        Manifest { id, value: json!({"data": {"a": data}}), template: "a.yaml".to_owned() }
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let key = FingerprintKey(vec![1]);
        let purpose = Purpose { site: "test", namespace: "wire", key: &key, allowed: Allowed::default() };
        let good = vec![manifest("a", "1"), manifest("b", "2")];
        let inventory = Inventory { objects: good.iter().map(|good| good.id.clone()).collect(), good: good.clone() };
        let secret = inventory.secret(&purpose, "brig").unwrap();
        let read = among(&[json!({"type": "Opaque"}), secret]).unwrap();
        assert_eq!(read["brig"], inventory);
        assert!(inventory.is_settled(&good));
        assert!(!inventory.is_settled(&good[..1]));
        assert!(!inventory.is_settled(&[manifest("a", "1"), manifest("b", "3")]));
    }

    #[test]
    fn damage_is_told() {
        let secret = json!({"type": TYPE, "metadata": {"name": "wire-deploy-brig"}, "data": {"objects": "e30=", "good": "AAAA"}});
        let error = among(&[secret]).unwrap_err();
        assert!(error.to_string().contains("wire-deploy-brig"), "{error}");
        assert!(error.hint().contains("delete"), "{}", error.hint());
    }
}
