//! The Forebay process as a library: configuration, listeners, RESP and HTTP.
pub mod app;
pub mod configuration;
