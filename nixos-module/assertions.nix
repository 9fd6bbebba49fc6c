# What a service of a daemon, confined as it is, could not do with its settings.
{
  lib,
  option,
  unit,
  settings,
  accessList,
  # Of the service, with whatever a host adds to it.
  serviceConfig,
}:
let
  inherit (settings) network;

  isInStore = path: lib.hasPrefix builtins.storeDir path;
  isBelow = directory: path: lib.hasPrefix "${lib.removeSuffix "/" directory}/" path;

  # What it writes, by the option that says where.
  written = {
    "settings.snapshot.path" = settings.snapshot.path;
    "settings.accounting.path" = settings.accounting.path;
  }
  // lib.optionalAttrs (settings.scrape_exports.enable_scrape_exports or false) {
    "settings.scrape_exports.path" = settings.scrape_exports.path;
  };
  # The paths of a directive: several may stand in one string, and signs before a path
  # say what to do when it is missing, and where it is looked for.
  pathsOf =
    name:
    let
      words = builtins.split "[ \t\n]+" (toString (serviceConfig.${name} or ""));
      isPath = word: builtins.isString word && word != "";
    in
    map (word: lib.head (builtins.match "[-+]*(.*)" word)) (lib.filter isPath words);
  isStrict = (serviceConfig.ProtectSystem or false) == "strict";
  # Directories that it can write to.
  writable =
    if isStrict then
      map (name: "/var/lib/${name}") (pathsOf "StateDirectory") ++ pathsOf "ReadWritePaths"
    else
      [ "/" ];

  # What it reads.
  read = {
    "settings.access_list.path" = settings.access_list.path;
    "settings.keys.path" = settings.keys.path;
  }
  // lib.optionalAttrs (network ? tls_private_key_path) {
    "settings.network.tls_certificate_path" = network.tls_certificate_path;
    "settings.network.tls_private_key_path" = network.tls_private_key_path;
  };
  # Those that a list of paths names.
  lists = {
    "settings.access_list.allow_paths" = settings.access_list.allow_paths;
    "settings.access_list.deny_paths" = settings.access_list.deny_paths;
    "settings.bans.paths" = settings.bans.paths;
    "settings.clients.allow_paths" = settings.clients.allow_paths;
    "settings.clients.deny_paths" = settings.clients.deny_paths;
  };
  # Directories that ProtectHome= hides.
  homes =
    lib.optionals
      (builtins.elem (serviceConfig.ProtectHome or false) [
        true
        "yes"
        "tmpfs"
      ])
      [
        "/home"
        "/root"
        "/run/user"
      ];
in
[
  {
    assertion = !settings.privileges.drop_privileges;
    message = ''
      ${option}.settings.privileges.drop_privileges must be false: systemd starts
      the service as an unprivileged user already.
    '';
  }
  {
    assertion = settings.privileges.chroot_path == "";
    message = ''
      ${option}.settings.privileges.chroot_path must be empty: the service is not
      permitted to chroot, and is already sandboxed.
    '';
  }
  {
    assertion = accessList == null || (accessList.infoHashes == null) != (accessList.file == null);
    message = ''
      ${option}.accessList needs either infoHashes or file, and not both.
    '';
  }
  {
    assertion = accessList == null || accessList.file == null || !isInStore accessList.file;
    message = ''
      ${option}.accessList.file is in the store, so it can never change. Use
      ${option}.accessList.infoHashes, or a file outside the store.
    '';
  }
  {
    assertion = !(network ? tls_private_key_path) || !isInStore network.tls_private_key_path;
    message = ''
      ${option}.settings.network.tls_private_key_path is in the store, which is
      world-readable. Keep the key in a file outside the store.
    '';
  }
  {
    assertion = !isInStore settings.keys.path;
    message = ''
      ${option}.settings.keys.path is in the store, which is world-readable. Keep
      the keys of clients in a file outside the store.
    '';
  }
]
++ lib.mapAttrsToList (name: path: {
  assertion = path == "" || lib.any (directory: isBelow directory path) writable;
  message = ''
    ${option}.${name}: the service can only write to ${toString writable},
    not to ${path}. To allow another directory, add it to
    systemd.services.${unit}.serviceConfig.ReadWritePaths.
  '';
}) written
++ lib.mapAttrsToList (name: path: {
  assertion = !lib.any (directory: isBelow directory path) homes;
  message = ''
    ${option}.${name}: home directories are not visible to the service, so
    ${path} has to be moved elsewhere.
  '';
}) read
++ lib.concatLists (
  lib.mapAttrsToList (
    name: paths:
    map (path: {
      assertion = !lib.any (directory: isBelow directory path) homes;
      message = ''
        ${option}.${name}: home directories are not visible to the service, so
        ${path} has to be moved elsewhere.
      '';
    }) paths
  ) lists
)
