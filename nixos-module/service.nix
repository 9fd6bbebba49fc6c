# How systemd runs a daemon, and what it lets it do: the same as the units of the
# packages for other distributions, which a test compares.
{
  unit,
  daemon,
  url,
}:
{
  unitConfig = {
    # A service that fails is started again for as long as it takes. A limit would
    # stop its sockets, too, and both would stay stopped when the cause is gone.
    StartLimitIntervalSec = 0;
  };
  environment.AQUATIC_SOCKET_UNIT = "${unit}.socket";
  # Which boot this is, which ProcSubset hides: the age of a snapshot depends on it.
  environment.AQUATIC_BOOT_ID = "%b";
  # The server of cluster.url, to which ./destination.nix permits access.
  environment.AQUATIC_CLUSTER_URL = url;
  serviceConfig = {
    Type = "notify";
    Restart = "on-failure";
    RestartSec = "500ms";
    # The tracker exits with this code when its configuration is wrong, and it stays
    # so until somebody mends it.
    RestartPreventExitStatus = 78;
    # Failed starts are noted in it. After one, the next start waits before it tries,
    # longer each time and at most for a minute, or until the configuration has
    # changed; it makes no difference whether systemd or a request at the sockets
    # asked for it.
    # The second directory has the sockets over which daemons share their peers. All of
    # them have to preserve it: otherwise whichever stops would remove the sockets of the
    # others.
    RuntimeDirectory = if daemon.shares_peers then "${unit} aquatic" else unit;
    RuntimeDirectoryMode = "0750";
    RuntimeDirectoryPreserve = "yes";
    # The workers themselves answer for this.
    WatchdogSec = "30s";
    # A large swarm takes some time to be read from disk, and to be written.
    TimeoutStartSec = "5min";
    TimeoutStopSec = "2min";

    StateDirectory = unit;
    StateDirectoryMode = "0750";
    UMask = "0027";

    LimitNOFILE = 1048576;
    # For the rings of io_uring, where a tracker uses it.
    LimitMEMLOCK = "64M";

    # What a tracker does not need is taken from it, even the network: all its
    # sockets are passed to it. ./destination.nix adds what a cluster needs.
    AmbientCapabilities = "";
    CapabilityBoundingSet = "";
    DevicePolicy = "closed";
    KeyringMode = "private";
    LockPersonality = true;
    MemoryDenyWriteExecute = true;
    NoNewPrivileges = true;
    PrivateDevices = true;
    PrivateMounts = true;
    PrivateNetwork = true;
    PrivateTmp = true;
    PrivateUsers = true;
    ProcSubset = "pid";
    ProtectClock = true;
    ProtectControlGroups = true;
    ProtectHome = true;
    ProtectHostname = true;
    ProtectKernelLogs = true;
    ProtectKernelModules = true;
    ProtectKernelTunables = true;
    ProtectProc = "invisible";
    ProtectSystem = "strict";
    RemoveIPC = true;
    RestrictAddressFamilies = "AF_UNIX";
    RestrictNamespaces = true;
    RestrictRealtime = true;
    RestrictSUIDSGID = true;
    SystemCallArchitectures = "native";
    SystemCallErrorNumber = "EPERM";
    SystemCallFilter = [
      "@system-service"
      "~@privileged @resources"
    ];
  };
}
