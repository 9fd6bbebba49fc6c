# How systemd runs a daemon, and what it lets it do: the same as the units of the
# packages for other distributions, which a test compares.
{
  lib,
  unit,
  daemon,
}:
{
  unitConfig = {
    # A switch to another configuration is not a failure, however often.
    StartLimitIntervalSec = 0;
  };
  serviceConfig = {
    Type = "notify";
    StateDirectory = unit;
  };
}
