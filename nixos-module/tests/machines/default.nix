# Tests on virtual machines, which need KVM. Each is a function from the module
# and the load test to a test of NixOS.
{
  cluster = ./cluster.nix;
  hosts = ./hosts.nix;
  reload = ./reload.nix;
  restart = ./restart.nix;
  transfer = ./transfer.nix;
}
