//! Runs the Rust examples of the documentation pages.
//!
//! Each page that has one is the documentation of a type here, which exists only while doc-tests are collected. Examples in
//! other languages are tested where they can be run: in `forebay-cli`.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
#[derive(Debug)]
pub struct Readme;

#[cfg(doctest)]
#[doc = include_str!("library.md")]
#[derive(Debug)]
pub struct Library;

#[cfg(doctest)]
#[doc = include_str!("features/feed.md")]
#[derive(Debug)]
pub struct Feed;

#[cfg(doctest)]
#[doc = include_str!("features/invalidation.md")]
#[derive(Debug)]
pub struct Invalidation;

#[cfg(doctest)]
#[doc = include_str!("features/loader.md")]
#[derive(Debug)]
pub struct Loader;

#[cfg(doctest)]
#[doc = include_str!("features/log.md")]
#[derive(Debug)]
pub struct Log;

#[cfg(doctest)]
#[doc = include_str!("features/namespace.md")]
#[derive(Debug)]
pub struct Namespace;

#[cfg(doctest)]
#[doc = include_str!("features/observe.md")]
#[derive(Debug)]
pub struct Observe;

#[cfg(doctest)]
#[doc = include_str!("features/protection.md")]
#[derive(Debug)]
pub struct Protection;

#[cfg(doctest)]
#[doc = include_str!("features/source.md")]
#[derive(Debug)]
pub struct Source;

#[cfg(doctest)]
#[doc = include_str!("features/tier.md")]
#[derive(Debug)]
pub struct Tier;

#[cfg(doctest)]
#[doc = include_str!("features/value.md")]
#[derive(Debug)]
pub struct Value;

#[cfg(doctest)]
#[doc = include_str!("features/warming.md")]
#[derive(Debug)]
pub struct Warming;

#[cfg(doctest)]
#[doc = include_str!("features/writes.md")]
#[derive(Debug)]
pub struct Writes;
