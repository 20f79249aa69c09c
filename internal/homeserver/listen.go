// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/foyer-matrix/foyer/internal/homeserver/httpapi"
)

const (
	headerTime     = 10 * time.Second
	idleTime       = 2 * time.Minute
	maxHeaderBytes = 32 << 10
)

// httpServer is one listener and what it serves.
type httpServer struct {
	name     string
	listener net.Listener
	server   *http.Server
}

// listen opens the configured listeners.
func (s *Server) listen(ctx context.Context) error {
	client := s.clientRoutes()
	if s.config.Listen.Internal == "" {
		client = slices.Concat(client, s.internalRoutes())
	}
	for _, l := range []struct {
		name, address string
		routes        []httpapi.Route
		open          net.Listener
	}{
		{"client", s.config.Listen.Client, client, s.options.Listener},
		{"federation", s.config.Listen.Federation, s.federationRoutes(), nil},
		{"internal", s.config.Listen.Internal, s.internalRoutes(), nil},
	} {
		if l.address == "" && l.open == nil {
			continue
		}
		if l.open == nil {
			var config net.ListenConfig
			opened, err := config.Listen(ctx, "tcp", l.address)
			if err != nil {
				return fmt.Errorf("%w: listen.%s: %w", ErrConfig, l.name, err)
			}
			l.open = opened
		}
		if err := s.addServer(l.name, l.open, l.routes); err != nil {
			return err
		}
	}
	s.client = s.servers[0].listener
	return nil
}

func (s *Server) addServer(name string, l net.Listener, routes []httpapi.Route) error {
	if name != "client" {
		s.others = append(s.others, l)
	} else {
		s.client = l
	}
	proxies, err := s.config.Listen.Proxies()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	router, err := httpapi.NewRouter(httpapi.Options{
		Authenticator: s.services.accounts, Limiter: s.limiter, Log: s.log, TrustedProxies: proxies,
		Metrics: prometheus.WrapRegistererWith(prometheus.Labels{"listener": name}, s.metrics),
		OnError: s.onRequestError,
	}, routes)
	if err != nil {
		return err
	}
	s.servers = append(s.servers, &httpServer{name, l, &http.Server{
		Handler: router, ReadHeaderTimeout: headerTime, IdleTimeout: idleTime, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}})
	return nil
}

// serve answers requests until ctx ends or something fails, then shuts down.
func (s *Server) serve(ctx context.Context) error {
	base := context.WithoutCancel(ctx)
	var g errgroup.Group
	for _, h := range s.servers {
		h.server.BaseContext = func(net.Listener) context.Context { return base }
		g.Go(func() error {
			err := h.server.Serve(h.listener)
			if errors.Is(err, http.ErrServerClosed) {
				return nil
			}
			err = fmt.Errorf("serve %s: %w", h.name, err)
			s.fail(err)
			return nil
		})
	}
	s.log.InfoContext(ctx, "server is ready", "server_name", s.config.ServerName, "address", s.client.Addr().String())
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.fatal:
	}
	s.log.InfoContext(ctx, "server stops")
	s.shutdown(context.WithoutCancel(ctx))
	return errors.Join(err, g.Wait())
}

// shutdown ends requests politely, and after shutdownTime impolitely.
func (s *Server) shutdown(ctx context.Context) {
	s.shuttingDown.Store(true)
	s.services.drain()
	ctx, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	var g errgroup.Group
	for _, h := range s.servers {
		g.Go(func() error {
			if err := h.server.Shutdown(ctx); err != nil {
				s.log.WarnContext(ctx, "requests did not end in time", "listener", h.name, "error", err)
				return h.server.Close()
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		s.log.WarnContext(ctx, "cannot close listener", "error", err)
	}
}

// Kill drops all connections at once, as the end of the process would.
func (s *Server) Kill() {
	for _, h := range s.servers {
		_ = h.server.Close() // the point is not to be polite
	}
}
