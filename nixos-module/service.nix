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
    RestartSec = "500ms";
    # With this code the tracker refuses a configuration, which stays wrong until
    # somebody mends it.
    RestartPreventExitStatus = 78;
    # Failed starts are noted there. The next one, whether systemd or what arrives at
    # the sockets has asked for it, then waits before it tries, ever longer and at most
    # for a minute, or until the configuration has changed.
    RuntimeDirectory = unit;
    RuntimeDirectoryMode = "0750";
    RuntimeDirectoryPreserve = "yes";
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
