// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// relayDialTimeout is long enough for an address on this machine.
const relayDialTimeout = 5 * time.Second

// relay passes each connection to LISTEN on to TARGET until it is told to end.
func relay(ctx context.Context, arguments []string) error {
	const wanted = 2
	if len(arguments) != wanted {
		return errors.New("relay: give LISTEN and TARGET")
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", arguments[0])
	if err != nil {
		return fmt.Errorf("listen (choose another address with \"cluster up --https\" or \"--http\"): %w", err)
	}
	context.AfterFunc(ctx, func() { _ = listener.Close() })
	for {
		client, err := listener.Accept()
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept: %w", err)
		case err == nil:
			go pass(ctx, client, arguments[1])
		}
	}
}

// pass copies both ways; each side learns that the other has finished sending.
func pass(ctx context.Context, client net.Conn, target string) {
	defer client.Close()
	server, err := (&net.Dialer{Timeout: relayDialTimeout}).DialContext(ctx, "tcp", target)
	if err != nil {
		return // the client sees its connection closed
	}
	defer server.Close()
	var wg sync.WaitGroup
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		wg.Go(func() {
			_, _ = io.Copy(way[1], way[0])
			if half, ok := way[1].(*net.TCPConn); ok {
				_ = half.CloseWrite()
			}
		})
	}
	wg.Wait()
}
