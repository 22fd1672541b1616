//! Folders that are there for good: a name outlives the loss of power once the folder that it stands in is synced.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Makes a folder that is missing, and those above it, durably.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    make_folder_with(folder, &mut |made| sync_folder(made))
}

fn make_folder_with(folder: &Path, sync: &mut dyn FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.map_or_else(|| PathBuf::from("."), Path::to_path_buf);
    make_folder_with(&parent, sync)?;
    match std::fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        // Whoever made it just now may not have synced it yet.
        _ => sync(&parent),
    }
}

/// Makes durable which names a folder has.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// Such systems have no way to ask for it.
#[cfg(not(unix))]
pub(crate) fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::make_folder_with;

    #[test]
    fn every_folder_that_got_a_name_is_synced_the_outermost_first() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("a/b/c");
        let mut synced = Vec::new();
        for _ in 0..2 {
            make_folder_with(&folder, &mut |made| {
                synced.push(made.to_owned());
                Ok(())
            })
            .unwrap();
        }
        assert!(folder.is_dir());
        assert_eq!(synced, [top.path().to_owned(), top.path().join("a"), top.path().join("a/b")]);
    }
}
