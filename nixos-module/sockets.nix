# What the socket unit of a daemon says: a socket for each address and worker.
{
  lib,
  daemon,
  network,
  workers,
}:
let
  listen = lib.concatMap (address: lib.genList (_: address) workers) network.address;
  isUdp = daemon.transport == "udp";
in
{
  listenDatagrams = lib.optionals isUdp listen;
  listenStreams = lib.optionals (!isUdp) listen;
  socketConfig = {
    # Several sockets on an address; the kernel spreads clients over them.
    ReusePort = true;
    # IPv4 addresses are listed apart.
    BindIPv6Only = "ipv6-only";
  }
  // lib.optionalAttrs (isUdp && network.socket_recv_buffer_size > 0) {
    # systemd may go beyond net.core.rmem_max, and the service may not.
    ReceiveBuffer = network.socket_recv_buffer_size;
  }
  // lib.optionalAttrs (!isUdp) {
    Backlog = network.tcp_backlog;
  };
}
