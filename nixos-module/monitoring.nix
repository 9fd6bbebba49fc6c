# Prometheus and Grafana of this host: what they have to know of the daemons.
{
  config,
  lib,
  ...
}:
let
  inherit (lib) mkOption types;
  cfg = config.services.aquatic;
  inherit (cfg.monitoring) grafana prometheus;
  daemons = import ./daemons.nix;
  enabled = lib.filter (name: cfg.${name}.enable) (lib.attrNames daemons);
  inherit (import ./addresses.nix { inherit lib; }) parse;

  # Where the metrics of a daemon are read.
  target =
    name:
    let
      address = parse cfg.${name}.settings.metrics.address;
      host = if address.isIPv6 then "[::1]" else "127.0.0.1";
    in
    "${if address.isWildcard then host else address.host}:${toString address.port}";

  dashboards = "aquatic/dashboards";
in
{
  _file = toString ./monitoring.nix;

  options.services.aquatic.monitoring = {
    prometheus.enable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Whether {option}`services.prometheus` reads the metrics of the daemons, under the job
        `aquatic`, and has their alerts and recording rules. Daemons whose
        `settings.metrics.address` is not set serve their metrics at 127.0.0.1.
      '';
    };

    grafana.enable = mkOption {
      type = types.bool;
      default = false;
      example = true;
      description = ''
        Whether {option}`services.grafana` has the dashboard of aquatic, and
        {option}`services.prometheus` of this host as a data source if that reads the metrics.
      '';
    };
  };

  config = lib.mkIf cfg.enable (
    lib.mkMerge [
      {
        warnings =
          lib.optional (prometheus.enable && !config.services.prometheus.enable) ''
            services.aquatic.monitoring.prometheus.enable has no effect without
            services.prometheus.enable.
          ''
          ++ lib.optional (grafana.enable && !config.services.grafana.enable) ''
            services.aquatic.monitoring.grafana.enable has no effect without
            services.grafana.enable.
          '';
      }

      (lib.mkIf prometheus.enable {
        services.aquatic = lib.mapAttrs (_: daemon: {
          settings.metrics.address = lib.mkDefault "127.0.0.1:${toString daemon.metrics_port}";
        }) daemons;

        services.prometheus = {
          scrapeConfigs = [
            {
              job_name = "aquatic";
              static_configs = [ { targets = map target enabled; } ];
            }
          ];
          ruleFiles = [ ../packaging/monitoring/aquatic-rules.yml ];
        };
      })

      (lib.mkIf grafana.enable {
        environment.etc."${dashboards}/aquatic.json".source =
          ../packaging/monitoring/aquatic-dashboard.json;

        services.grafana.provision = {
          enable = true;
          dashboards.settings.providers = [
            {
              name = "aquatic";
              options.path = "/etc/${dashboards}";
            }
          ];
          datasources.settings.datasources = lib.mkIf prometheus.enable [
            {
              name = "Prometheus";
              type = "prometheus";
              url = "http://127.0.0.1:${toString config.services.prometheus.port}";
            }
          ];
        };
      })
    ]
  );
}
