# The examples of the documentation, each a configuration.
{
  access-list = ./access-list.nix;
  access-list-file = ./access-list-file.nix;
  cluster = ./cluster.nix;
  engine = ./engine.nix;
  https = ./https.nix;
  minimal = ./minimal.nix;
  reverse-proxy = ./reverse-proxy.nix;
  separate-swarms = ./separate-swarms.nix;
  settings = ./settings.nix;
  webtorrent = ./webtorrent.nix;
}
