// SPDX-License-Identifier: Apache-2.0

package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/foyer-matrix/foyer/internal/homeserver"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
)

// terminationLog is where Kubernetes reads why a container ended.
const terminationLog = "/dev/termination-log"

// exitConfig is EX_CONFIG of sysexits.h: trying again will not help.
const exitConfig = 78

// homeserverFlags are the command line; what is set overrides the file.
type homeserverFlags struct {
	config, serverName, data, listen, database, registration string
}

// Homeserver returns the command that runs the built-in homeserver.
func Homeserver() *cobra.Command {
	var f homeserverFlags
	cmd := &cobra.Command{
		Use:   "homeserver",
		Short: "Run the built-in Matrix homeserver",
		Example: "  foyer homeserver --server-name localhost --data ./data --registration token\n" +
			"  foyer homeserver --config /etc/foyer/homeserver.yaml",
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return explain(runHomeserver(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr(), f))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.config, "config", "", "configuration `file` (YAML); the other flags override it")
	flags.StringVar(&f.serverName, "server-name", "", "`name` of the server, the part of user ids after the colon; it can never change")
	flags.StringVar(&f.data, "data", "", "`directory` of the database, the media and the signing key")
	flags.StringVar(&f.listen, "listen", "", "`address` to serve clients on (default 127.0.0.1:8008)")
	flags.StringVar(&f.database, "database", "", "postgres:// `URL`; not given: SQLite in the data directory")
	flags.StringVar(&f.registration, "registration", "", "who may register: open, token or closed (default closed); token prints one")
	cmd.AddCommand(homeserverCheck())
	return cmd
}

// runHomeserver serves until a signal asks it to stop.
func runHomeserver(ctx context.Context, out, errOut io.Writer, f homeserverFlags) error {
	level := &slog.LevelVar{}
	log := slog.New(slog.NewJSONHandler(errOut, &slog.HandlerOptions{Level: level}))
	c, err := f.load()
	if err != nil {
		return err
	}
	if l, err := c.Level(); err == nil {
		level.Set(l)
	}
	limitMemory(ctx, log)
	if err := provideToken(&c, out); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	s, err := homeserver.New(ctx, homeserver.Options{Config: c, ConfigFile: f.config, Log: log, Level: level})
	if err != nil {
		return err
	}
	dropStartPages()
	return s.Run(ctx)
}

// load reads the file, if any, and puts the flags over it.
func (f homeserverFlags) load() (config.Config, error) {
	c := config.Default()
	if f.config != "" {
		var err error
		if c, err = config.Load(f.config); err != nil {
			return c, fmt.Errorf("%w: %w", homeserver.ErrConfig, err)
		}
	}
	f.override(&c)
	modes := map[string]config.RegistrationMode{
		"": c.Registration.Mode, "open": config.RegistrationOpen, "token": config.RegistrationToken, "closed": config.RegistrationClosed,
	}
	mode, known := modes[strings.ToLower(f.registration)]
	if !known {
		return c, fmt.Errorf("%w: --registration %q is none of open, token, closed", homeserver.ErrConfig, f.registration)
	}
	c.Registration.Mode = mode
	c.Complete()
	if err := c.Validate(); err != nil {
		return c, fmt.Errorf("%w: %w", homeserver.ErrConfig, err)
	}
	return c, nil
}

// override puts the flags that are set over c.
func (f homeserverFlags) override(c *config.Config) {
	set := func(flag string, field *string) {
		if flag != "" {
			*field = flag
		}
	}
	set(f.serverName, &c.ServerName)
	set(f.data, &c.DataDir)
	set(f.listen, &c.Listen.Client)
	if f.database != "" {
		c.Database.URL, c.Database.URLFile = f.database, ""
	}
}

// provideToken makes a registration token when one is needed and no file is
// configured, keeps it in the data directory, and prints it.
func provideToken(c *config.Config, out io.Writer) error {
	if c.Registration.Mode != config.RegistrationToken || c.Registration.TokenFile != "" {
		return nil
	}
	c.Registration.TokenFile = filepath.Join(c.DataDir, "registration-token")
	token, err := homeserver.EnsureToken(c.Registration.TokenFile)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(out, "Registration token: %s\n", token)
	return err
}

// exitError carries an exit code to main.
type exitError struct {
	error
	code int
}

// ExitCode is what the process should end with.
func (e *exitError) ExitCode() int { return e.code }

func (e *exitError) Unwrap() error { return e.error }

// explain gives a failure its exit code and tells Kubernetes the reason.
func explain(err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	reason, configuration := homeserver.Reason(err)
	code := 1
	if configuration {
		code = exitConfig
	}
	if reason != "" {
		err = fmt.Errorf("%s: %w", reason, err)
	}
	return errors.Join(&exitError{err, code}, writeTermination(err))
}

// writeTermination writes one line where Kubernetes shows it; elsewhere the
// file does not exist.
func writeTermination(err error) error {
	f, openErr := os.OpenFile(terminationLog, os.O_WRONLY|os.O_TRUNC, 0)
	if errors.Is(openErr, os.ErrNotExist) {
		return nil
	}
	if openErr != nil {
		return openErr
	}
	_, writeErr := fmt.Fprintln(f, strings.ReplaceAll(err.Error(), "\n", "; "))
	return errors.Join(writeErr, f.Close())
}
