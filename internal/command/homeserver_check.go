// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/foyer-matrix/foyer/internal/homeserver"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/homeserver/store"
	"github.com/foyer-matrix/foyer/internal/homeserver/store/check"
)

// homeserverCheck returns the command that checks a homeserver's database.
func homeserverCheck() *cobra.Command {
	var f homeserverFlags
	var full bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check that the database and the files of a homeserver fit together",
		Long: "Checks that the database and the files of a homeserver fit together. It changes nothing and may run beside\n" +
			"the server. Each finding is one line: what, where, what to do. The exit code is 1 if there are errors; notes\n" +
			"are harmless.",
		Example: "  foyer homeserver check --data ./data\n" +
			"  foyer homeserver check --config /etc/foyer/homeserver.yaml --full",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explain(runCheck(cmd.Context(), cmd.OutOrStdout(), f, full))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `file` (YAML) of the server; the other flags override it")
	flags.StringVar(&f.data, "data", "", "`directory` of the database and the media")
	flags.StringVar(&f.database, "database", "", "postgres:// `URL`; not given: SQLite in the data directory")
	flags.BoolVar(&full, "full", false, "recompute the hashes of all events and files, not of a sample of events")
	return cmd
}

func runCheck(ctx context.Context, out io.Writer, f homeserverFlags, full bool) error {
	o, err := f.checked()
	if err != nil {
		return err
	}
	o.Full = full
	counts, err := check.Run(ctx, o, func(finding check.Finding) error {
		_, err := fmt.Fprintln(out, finding)
		return err
	})
	if err != nil {
		return fmt.Errorf("check database: %w", err)
	}
	if counts.Errors > 0 {
		return fmt.Errorf("%d errors in %s", counts.Errors, counts)
	}
	_, err = fmt.Fprintf(out, "ok: %s\n", counts)
	return err
}

// checked says what is to be checked: less is needed for it than to run the server.
func (f homeserverFlags) checked() (check.Options, error) {
	c := config.Default()
	if f.config != "" {
		var err error
		if c, err = config.Load(f.config); err != nil {
			return check.Options{}, fmt.Errorf("%w: %w", homeserver.ErrConfig, err)
		}
	}
	f.override(&c)
	if c.DataDir == "" && c.Database == (config.Database{Synchronous: c.Database.Synchronous}) {
		return check.Options{}, fmt.Errorf("%w: --config, --data or --database must say where the data is", homeserver.ErrConfig)
	}
	url, err := c.Database.PostgresURL()
	if err != nil {
		return check.Options{}, fmt.Errorf("%w: %w", homeserver.ErrConfig, err)
	}
	o := check.Options{Store: store.Options{Dir: c.DataDir, PostgresURL: url, ServerName: c.ServerName}}
	if c.DataDir != "" || c.Media.Dir != "" {
		c.Complete()
		o.MediaDir = c.Media.Dir
	}
	return o, nil
}
