use object_store::{ObjectStoreExt, PutPayload};

use super::*;
use crate::faulty::{Faults, Faulty, Refused};

/// Return a client of a store with 100 objects, of 0, 1, 2, ... bytes.
fn client(faults: Faults) -> Client {
    let store = Faulty::new(faults);
    let inner = store.inner.clone();
    let put = async move {
        for size in 0..100 {
            inner.put(&format!("root/{size}").into(), PutPayload::from(vec![b'x'; size])).await.unwrap();
        }
        Ok(())
    };
    block_on(put, Interrupt::NEVER).unwrap();
    Client::of(store)
}

#[test]
fn look_returns_sizes_in_the_order_of_the_keys_through_losses() {
    let client = client(Faults { gets: 20, ..Faults::default() });
    let keys = (0..100).rev().flat_map(|n| [n.to_string(), format!("absent-{n}")]).collect();
    let sizes: Vec<_> = look(&client, keys, Interrupt::NEVER).unwrap();
    let sizes: Vec<_> = sizes.into_iter().map(|found| found.map(|(size, _)| size)).collect();
    assert_eq!(sizes, (0..100).rev().flat_map(|n| [Some(n), None]).collect::<Vec<_>>());
}

#[test]
fn look_of_role_without_head_fails() {
    let client =
        client(Faults { refuses: Refused { heads: true, ..Refused::default() }, ..Faults::default() });
    let error = look(&client, vec!["1".into()], Interrupt::NEVER).unwrap_err();
    assert!(error.to_string().contains("permission"), "{error}");
}

#[test]
fn get_returns_bytes_or_nothing() {
    let client = client(Faults { gets: 20, ..Faults::default() });
    let read = |name: &str| {
        let client = client.at(&format!("s3://bucket/root/{name}"), &format!("root/{name}"));
        get(&client, 100, Interrupt::NEVER).unwrap()
    };
    assert_eq!(read("7").as_deref(), Some(&b"xxxxxxx"[..]));
    assert_eq!(read("absent"), None);
}
