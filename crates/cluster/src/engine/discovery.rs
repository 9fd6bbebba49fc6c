//! Finds the engine that has the keys, by asking Sentinels or members of a Redis Cluster.
//!
//! They are asked again for each connection. The clients of the `redis` crate for this are
//! not used: one waits without a timeout for a Sentinel that hangs, the other keeps asking
//! members that have died. All keys are in one slot, so there is only one member to talk to,
//! and any other member knows its address.

use redis::{FromRedisValue as _, Value, cmd};

use super::EngineSettings;
use super::client::{Address, Client};
use super::error::EngineError;
use super::url::{Place, Server};

/// Connects to the engine to which the URL leads.
pub(super) fn connect(settings: &EngineSettings) -> Result<Client, EngineError> {
    match &settings.url.place {
        Place::Server(server) => Client::connect(settings, &Address::Tcp(server), true),
        Place::Socket(path) => Client::connect(settings, &Address::Unix(path), true),
        Place::Sentinels { servers, name } => {
            let primary =
                first_answer(servers, |it| ask_sentinel(settings, it, name)).map_err(|errors| {
                    EngineError::Away(format!("no Sentinel says where {name} is: {errors}"))
                })?;
            Client::connect(settings, &Address::Tcp(&primary), true)
        }
        Place::Cluster(servers) => {
            first_answer(servers, |it| ask_member(settings, it)).map_err(EngineError::Away)
        }
    }
}

/// The answer of the first server that has one, or the errors of all of them.
fn first_answer<T>(
    servers: &[Server],
    ask: impl Fn(&Server) -> Result<T, EngineError>,
) -> Result<T, String> {
    let mut errors = Vec::new();
    for server in servers {
        match ask(server) {
            Ok(answer) => return Ok(answer),
            Err(error) => errors.push(format!("{server}: {error}")),
        }
    }
    Err(errors.join("; "))
}

/// The address of the primary with this name.
fn ask_sentinel(
    settings: &EngineSettings,
    sentinel: &Server,
    name: &str,
) -> Result<Server, EngineError> {
    let mut ask = cmd("SENTINEL");
    let ask = ask
        .arg("GET-MASTER-ADDR-BY-NAME")
        .arg(name)
        .get_packed_command();
    let address = Address::Tcp(sentinel);
    // Most Sentinels have no password, even if the engines have one.
    let mut answer = Client::connect(settings, &address, false)?.exchange(&ask)?;
    if matches!(&answer, Value::ServerError(error) if error.code() == "NOAUTH") {
        answer = Client::connect(settings, &address, true)?.exchange(&ask)?;
    }
    match answer {
        Value::ServerError(error) => Err((&error).into()),
        Value::Nil => Err(EngineError::Away("it does not know that name".into())),
        found => {
            let (host, port) = <(String, u16)>::from_redis_value(found)
                .map_err(|_| EngineError::unexpected_reply("SENTINEL"))?;
            Ok(Server { host, port })
        }
    }
}

/// A connection to the member that has the keys.
fn ask_member(settings: &EngineSettings, member: &Server) -> Result<Client, EngineError> {
    let mut client = Client::connect(settings, &Address::Tcp(member), true)?;
    let mut ask = cmd("XLEN");
    ask.arg(settings.key(""));
    let Value::ServerError(error) = client.exchange(&ask.get_packed_command())? else {
        return Ok(client);
    };
    let address = match error.code() {
        "MOVED" => error.details().and_then(|it| moved_to(it, member)),
        _ => None,
    };
    match address {
        // Whether it has them shows with the first command. After a second redirection,
        // the members are asked again.
        Some(server) => Client::connect(settings, &Address::Tcp(&server), true),
        None => Err((&error).into()),
    }
}

/// The address in a redirection, which is a slot and an address.
fn moved_to(details: &str, asked: &Server) -> Option<Server> {
    let (_slot, address) = details.split_once(' ')?;
    // IPv6 addresses have no brackets here.
    let (host, port) = address.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let host = match host {
        // The same host as that of the member that was asked.
        "" => asked.host.clone(),
        host => host.to_owned(),
    };
    Some(Server { host, port })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirections_are_read() {
        let asked = Server {
            host: "engine".into(),
            port: 6379,
        };
        let moved = |text| moved_to(text, &asked).map(|it| (it.host, it.port));
        let to = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(moved("1 10.0.0.1:7000"), to("10.0.0.1", 7000));
        assert_eq!(moved("1 fd00::1:7000"), to("fd00::1", 7000));
        assert_eq!(moved("1 :7000"), to("engine", 7000));
        for wrong in ["", "1", "1 ", "1 host", "1 host:", "1 host:99999"] {
            assert_eq!(moved(wrong), None, "{wrong}");
        }
    }
}
