//! Container images of this workspace's programs.

pub mod archive;
