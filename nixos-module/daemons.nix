# The daemons: what the module has to know of each besides its settings.
{
  udp = {
    title = "BitTorrent tracker over UDP";
    transport = "udp";
    onByDefault = true;
    hasTls = false;
  };
  http = {
    title = "BitTorrent tracker over HTTP and HTTPS";
    transport = "tcp";
    onByDefault = false;
    hasTls = true;
  };
  ws = {
    title = "BitTorrent tracker over WebSocket";
    transport = "tcp";
    onByDefault = false;
    hasTls = true;
  };
}
