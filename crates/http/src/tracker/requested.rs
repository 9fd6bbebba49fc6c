//! What a request asks for, and with which key.

use aquatic_http_protocol::{Head, Resource};
use aquatic_policy::keys::UrlKey;

use super::RequestKind;

/// What a request asks for, and the key of its client.
#[derive(Debug, Clone, Copy)]
pub struct Requested<'a> {
    /// What it asks for.
    pub resource: Resource<'a>,
    /// The key, if the tracker has keys; otherwise none was looked for.
    pub key: UrlKey,
}

impl<'a> Requested<'a> {
    /// The resource of a request to a tracker with keys, which may be part of the path.
    #[must_use]
    pub fn with_key(head: &Head<'a>) -> Self {
        let resource = Resource::of(head);
        let (path, query) = (head.target.path, head.target.query);
        let of_action = |action| UrlKey::of_action(path, query, action);
        match resource {
            Resource::Announce(_) | Resource::Scrape(_) | Resource::Misplaced(_) => {
                if let Some(key) = of_action(b"announce") {
                    let resource = Resource::Announce(query);
                    return Self { resource, key };
                }
                if let Some(key) = of_action(b"scrape") {
                    let resource = Resource::Scrape(query);
                    return Self { resource, key };
                }
                resource.into()
            }
            other => other.into(),
        }
    }

    /// The kind of a request that needs a key, where keys are needed.
    #[inline]
    pub(super) fn kind_with_key(&self) -> Option<RequestKind> {
        match self.resource {
            Resource::Announce(_) => Some(RequestKind::Announce),
            Resource::Scrape(_) => Some(RequestKind::Scrape),
            _ => None,
        }
    }
}

impl<'a> From<Resource<'a>> for Requested<'a> {
    /// A request whose key does not matter.
    #[inline]
    fn from(resource: Resource<'a>) -> Self {
        Self {
            resource,
            key: UrlKey::Missing,
        }
    }
}
