// SPDX-License-Identifier: Apache-2.0

package homeservertest

import (
	"context"
	"net"
	"sync"
)

// pipes is a network in memory. Whoever waits for it waits for nothing
// outside of the test, which a bubble of testing/synctest asks for.
type pipes struct {
	dialled chan net.Conn
	closed  chan struct{}
	close   sync.Once
}

func newPipes() *pipes {
	return &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})}
}

// pipesAddress is where pipes say that they are, at both ends.
var pipesAddress = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8008}

// pipeEnd has an address, by which the server knows clients that are not signed in.
type pipeEnd struct{ net.Conn }

func (pipeEnd) LocalAddr() net.Addr  { return pipesAddress }
func (pipeEnd) RemoteAddr() net.Addr { return pipesAddress }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.dialled <- pipeEnd{theirs}:
		return pipeEnd{ours}, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialled:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.close.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return pipesAddress }
