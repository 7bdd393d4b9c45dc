//! Notes of what a recipe gave, so that nothing is made twice on a machine: `made/<digest of all inputs>.json` in the store.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use wire_deploy_agent::digest::Digest;

use super::ArtifactError;
use super::store::{Store, write_whole};
use crate::lock::LockedFile;

/// Files by name.
pub type Files = BTreeMap<String, LockedFile>;

/// The note on what certain inputs give.
pub struct Note<'a> {
    path: PathBuf,
    store: &'a Store,
}

impl<'a> Note<'a> {
    /// The note for `inputs`: a text that differs whenever what is made may differ.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn on(inputs: &str, store: &'a Store) -> Result<Self, ArtifactError> {
        let path = store.client_folder("made")?.join(format!("{}.json", Digest::of(inputs.as_bytes())));
        Ok(Self { path, store })
    }

    /// What the inputs gave before, if all of it is still there.
    ///
    /// # Errors
    /// When the store cannot be looked at.
    pub fn made_before(&self) -> Result<Option<Files>, ArtifactError> {
        let Some(files) = fs::read(&self.path).ok().and_then(|text| serde_json::from_slice::<Files>(&text).ok()) else {
            return Ok(None);
        };
        for file in files.values() {
            if !self.store.has(&file.blob, file.size)? {
                return Ok(None);
            }
        }
        Ok(Some(files))
    }

    /// Notes what they gave.
    ///
    /// # Errors
    /// When the note cannot be written.
    pub fn write(&self, files: &Files) -> Result<(), ArtifactError> {
        let text = serde_json::to_vec(files).map_err(|error| {
            ArtifactError::new(format!("cannot note what was made: {error}"), "report this as a bug")
        })?;
        write_whole(&self.path, &text)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[test]
    fn a_note_counts_as_long_as_the_blobs_are_whole() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path());
        let files = Files::from([("a".to_owned(), store.put(&mut b"content".as_slice()).unwrap())]);
        Note::on("inputs", &store).unwrap().write(&files).unwrap();
        assert_eq!(Note::on("inputs", &store).unwrap().made_before().unwrap(), Some(files.clone()));
        assert_eq!(Note::on("other inputs", &store).unwrap().made_before().unwrap(), None);
        fs::write(store.path(&files["a"].blob), "half").unwrap();
        assert_eq!(Note::on("inputs", &store).unwrap().made_before().unwrap(), None);
    }
}
