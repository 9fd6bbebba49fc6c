# What a service has to be permitted to connect to the server of cluster.url. The same as
# what the generators of the packages for other distributions make of a configuration,
# which a test compares.
{
  lib,
  # Of the host, by name.
  groups,
}:
url:
let
  # redis://host:6379/0, redis+unix:///path?db=0, redis+sentinel://host:26379,host:26379/name
  parts = builtins.match "rediss?(\\+([a-z]+))?://([^/?]*)([^?]*)(\\?.*)?" url;
  kind = builtins.elemAt parts 1;
  path = builtins.elemAt parts 3;

  # host:6379, [::1]:6379
  hosts = builtins.match "\\[([^]]*)](:.*)?|([^:]*)(:.*)?" (builtins.elemAt parts 2);
  ipv6 = builtins.head hosts;
  host = if ipv6 != null then ipv6 else builtins.elemAt hosts 2;
  isIPv4 = builtins.match "[0-9]+(\\.[0-9]+){3}" host != null;
  isLocalhost = host == "localhost";
  isLocal = isLocalhost || ipv6 == "::1" || isIPv4 && lib.hasPrefix "127." host;

  # A socket is used by the group that is called like its directory, or like what comes
  # before the first hyphen of its name.
  directory = builtins.match ".*/([^/]+)/[^/]*" path;
  names = lib.optionals (directory != null) (
    directory ++ lib.toList (builtins.match "([^-]*)-.*" (lib.head directory))
  );
  group = lib.filter (name: builtins.isString name && groups ? ${name}) names;

  network = families: {
    PrivateNetwork = false;
    RestrictAddressFamilies = "AF_UNIX ${families}";
  };
  # What a name stands for may change, and the address filter knows no names.
  anyHost = network "AF_INET AF_INET6";
  only =
    families: address:
    network families
    // {
      IPAddressDeny = "any";
      IPAddressAllow = address;
    };
  services = [
    "redis.service"
    "redis-server.service"
    "valkey.service"
    "valkey-server.service"
  ];
in
if parts == null then
  {
    after = [ ];
    groups = [ ];
    serviceConfig = { };
  }
else if kind == "unix" then
  {
    after = services;
    groups = if group == [ ] then [ ] else [ (lib.head group) ];
    serviceConfig = { };
  }
else
  {
    after = lib.optionals (kind == null && isLocal) services;
    groups = [ ];
    serviceConfig =
      # Sentinels and members of a cluster name others.
      if kind != null then
        anyHost
      else if ipv6 != null then
        only "AF_INET6" ipv6
      else if isIPv4 then
        only "AF_INET" host
      else if isLocalhost then
        only "AF_INET AF_INET6" host
      else
        anyHost;
  }
