# How systemd runs a daemon, and what it lets it do: the same as the units of the
# packages for other distributions, which a test compares.
{ unit }:
{
  unitConfig = {
    # A service that fails is started again for as long as it takes. A limit would
    # end its sockets with it, and both would stay away when the cause is gone.
    StartLimitIntervalSec = 0;
  };
  environment.AQUATIC_SOCKET_UNIT = "${unit}.socket";
  serviceConfig = {
    Type = "notify";
    Restart = "on-failure";
    # Rarely enough to burden neither the machine nor its journal, for days if need
    # be; what arrives meanwhile waits, and does not have it started sooner. systemd
    # 252 knows no pause that grows.
    RestartSec = "500ms";
    # The workers themselves give the signs of life.
    WatchdogSec = "30s";
    # A large swarm takes some time to be read, and to be written.
    TimeoutStartSec = "5min";
    TimeoutStopSec = "2min";

    StateDirectory = unit;
    StateDirectoryMode = "0750";
    UMask = "0027";

    LimitNOFILE = 1048576;
    # For the rings of io_uring, where a tracker uses it.
    LimitMEMLOCK = "64M";

    # What a tracker has no need of. Not even the network: all its sockets are
    # passed to it.
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
