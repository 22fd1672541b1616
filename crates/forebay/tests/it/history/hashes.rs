//! The namespace of a world whose keys are the fields of hashes, one hash a group.
//!
//! A client knows of keys only: a key is read as a field or as part of its whole hash, invalidated as a field or with its
//! hash, and what it gets is checked as what any key gets.

use bytes::Bytes;
use forebay::source::{FieldAnswers, FieldKey, FieldSource, Loading, LoadingFields};
use forebay::value::{Codec as _, FieldState, Hash};
use forebay::{Error, Forebay, LoadKey, Loaded, Namespace, Read, ReadOutcome, Source, SourceError};

use super::instance::{DECLARED, Scripted, answered, failed, policy, tag_name};
use super::record::{Answer, Ended, Got, KeyIndex};
use super::wire::Rows;
use super::world::{TAGS, World};
use crate::scripted::WholeHash;

/// The hashes of one engine.
#[derive(Clone)]
pub struct Hashes {
    world: World,
    pub namespace: Namespace<Hash>,
}

impl Hashes {
    /// The namespace of number `index`, with fields from `source`.
    pub fn new(world: &World, engine: &Forebay, index: usize, source: Scripted) -> Self {
        let builder = engine.namespace(&format!("n{index}")).key(&format!("n{index}:{{group}}"));
        let builder = builder.policy(policy(world, index)).tags(&[DECLARED]);
        let namespace = builder.codec(WholeHash).source(Fields(source));
        Self { world: world.clone(), namespace: namespace.build().unwrap() }
    }

    /// The whole text of the key of a hash, and the name of its field.
    fn parts(&self, key: KeyIndex) -> (&str, &str) {
        self.world.plan().keys[key].name.rsplit_once(':').unwrap()
    }

    fn group(&self, key: KeyIndex) -> String {
        format!("g{}", self.world.plan().keys[key].group)
    }

    /// Reads one field.
    pub async fn get(&self, key: KeyIndex) -> Ended {
        let (text, field) = self.parts(key);
        match self.namespace.read_fields(text.as_bytes(), &[field.as_bytes()]).await {
            Ok(reads) => ended(reads[0].value.as_ref(), &reads[0].outcome),
            Err(error) => failed(&error),
        }
    }

    /// Reads keys by their whole hashes.
    pub async fn get_many(&self, keys: &[KeyIndex]) -> Vec<Ended> {
        let texts: Vec<&[u8]> = keys.iter().map(|&key| self.parts(key).0.as_bytes()).collect();
        let reads = self.namespace.read_many(&texts).await;
        reads.into_iter().zip(keys).map(|(read, &key)| self.ended(read, key)).collect()
    }

    pub async fn get_fresh(&self, key: KeyIndex) -> Ended {
        let read = self.namespace.read_fresh(self.parts(key).0.as_bytes()).await;
        self.ended(read, key)
    }

    pub async fn invalidate_field(&self, key: KeyIndex) -> Result<(), Error> {
        self.namespace.invalidate_field(self.group(key).as_str(), self.parts(key).1).await.map(drop)
    }

    fn ended(&self, read: Result<Read, Error>, key: KeyIndex) -> Ended {
        match read {
            Ok(Read { value, outcome }) => {
                let hash = value.map(|value| value.typed::<Hash>().unwrap());
                let state = hash.as_deref().map(|hash| hash.state(self.parts(key).1.as_bytes()));
                assert_ne!(state, Some(FieldState::Unknown), "a whole hash has a hole");
                ended(state.and_then(FieldState::known), &outcome)
            }
            Err(error) => failed(&error),
        }
    }
}

fn ended(value: Option<&Bytes>, outcome: &ReadOutcome) -> Ended {
    answered(value.map_or(Got::Absent, |bytes| Rows.decode(bytes).unwrap().0), outcome)
}

/// The source of the hashes.
struct Fields(Scripted);

impl Fields {
    async fn wholes(&self, keys: &[LoadKey]) -> Result<Vec<Option<Loaded>>, SourceError> {
        let groups: Vec<Vec<KeyIndex>> = keys.iter().map(|key| self.0.fields_of(key)).collect();
        let (load, answers) = self.0.rows(&groups.concat(), true).await?;
        let mut answers = answers.iter();
        let whole = |group: &Vec<KeyIndex>| {
            let rows: Vec<_> = group.iter().copied().zip(answers.by_ref()).collect();
            self.whole(load, &rows)
        };
        Ok(groups.iter().map(whole).collect())
    }

    /// A hash of the rows that exist, with the tags of all; there is none without rows.
    fn whole(&self, load: usize, rows: &[(KeyIndex, &Answer)]) -> Option<Loaded> {
        let world = &self.0.world;
        let present: Vec<_> = rows.iter().filter(|(_, answer)| answer.present).collect();
        let tags =
            present.iter().fold(0, |tags, (key, answer)| tags | world.committed(*key, answer.version).tags);
        let fields = present.iter().map(|(key, answer)| {
            let name = world.plan().keys[*key].name.rsplit_once(':').unwrap().1;
            (name, value(*key, load, answer))
        });
        (!present.is_empty()).then(|| Loaded {
            tags: (0..TAGS).filter(|tag| tags >> tag & 1 == 1).map(|tag| tag_name(tag).into()).collect(),
            ..Loaded::new(Hash::whole(fields))
        })
    }

    async fn fields(&self, fields: &[FieldKey]) -> Result<FieldAnswers, SourceError> {
        let text = |field: &Bytes| String::from_utf8(field.to_vec()).unwrap();
        let one = |asked: &FieldKey| {
            let names = &self.0.world.plan().keys;
            let mut all = self.0.fields_of(&asked.key).into_iter();
            all.find(|&key| names[key].name.ends_with(&format!(":{}", text(&asked.field)))).unwrap()
        };
        let keys: Vec<KeyIndex> = fields.iter().map(one).collect();
        let (load, answers) = self.0.rows(&keys, false).await?;
        let field =
            |(&key, answer): (&KeyIndex, &Answer)| answer.present.then(|| value(key, load, answer).into());
        Ok(keys.iter().zip(&answers).map(field).collect())
    }
}

fn value(key: KeyIndex, load: usize, answer: &Answer) -> Bytes {
    Rows.encode(&Got::Row { key, version: answer.version, load }).unwrap()
}

impl Source for Fields {
    fn load<'a>(&'a self, _: &'a str, keys: &'a [LoadKey]) -> Loading<'a> {
        Box::pin(self.wholes(keys))
    }

    fn fields(&self) -> Option<&dyn FieldSource> {
        Some(self)
    }
}

impl FieldSource for Fields {
    fn load_fields<'a>(&'a self, _: &'a str, fields: &'a [FieldKey]) -> LoadingFields<'a> {
        Box::pin(self.fields(fields))
    }
}
