//! The quickstart does what it says.

#[path = "../../examples/quickstart.rs"]
#[expect(dead_code, reason = "its `main` is for `cargo run --example quickstart`")]
mod example;

#[tokio::test]
async fn the_quickstart_reads_through_memory_and_past_an_invalidation() {
    let mut out = Vec::new();
    example::run(&mut out).await.unwrap();
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "first read: Some(Quote { price: 1123 })\n\
         11.23: Fresh from memory, 0 s old\n\
         11.31: Fresh from source, 0 s old\n\
         not listed: Absent from source, 0 s old\n"
    );
}
