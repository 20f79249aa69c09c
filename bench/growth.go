// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// growth is a dimension in which a server gets larger, and what is done there.
type growth struct {
	name string
	// grow makes the first room, or the first user's list of rooms, as large as
	// size; from is how large it is already.
	grow func(ctx context.Context, s *scene, from, size int) error
	// of are the operations measured at each size.
	of []load
}

// sizes are the sizes at which each operation is measured.
var sizes = [...]int{100, 1000, 10000}

func growths() []growth {
	return []growth{
		{"events in the room", growEvents, []load{sendLoad(), stateLoad(), receiptLoad(), incrementalLoad(), messagesLoad(), contextLoad(), membersLoad("members of the room (two)")}},
		{"rooms of the user", growRooms, []load{sendLoad(), stateLoad(), receiptLoad(), incrementalLoad(), messagesLoad(), typingLoad()}},
		{"members of the room", growMembers, []load{sendLoad(), stateLoad(), receiptLoad(), incrementalLoad(), messagesLoad(), contextLoad(), typingLoad(), membersLoad("all members (the answer grows)")}},
	}
}

// measureGrowth writes what operations cost in a small and in a large world,
// each dimension as soon as it is known: the last one takes minutes.
func measureGrowth(ctx context.Context, o options, dir string) (err error) {
	out := os.Stdout
	if o.out != "" {
		if out, err = os.OpenFile(o.out, os.O_APPEND|os.O_WRONLY, 0); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, out.Close()) }()
	}
	text := "\n## What grows\nCPU-ms of one operation of one user on SQLite, measured in the same run at each size.\n"
	for i, g := range growths() {
		table := &strings.Builder{}
		if err := g.measure(ctx, o, filepath.Join(dir, fmt.Sprintf("growth-%d", i)), table); err != nil {
			return fmt.Errorf("%s: %w", g.name, err)
		}
		if _, err := io.WriteString(out, text+table.String()); err != nil {
			return err
		}
		text = ""
	}
	return nil
}

func (g growth) measure(ctx context.Context, o options, data string, w *strings.Builder) (err error) {
	s, err := foyer(o.binary).start(ctx, data, "")
	if err != nil {
		return err
	}
	defer func() {
		if stopped := s.stop(); err == nil {
			err = stopped
		}
	}()
	sc := &scene{server: s}
	if sc.users, err = s.register(ctx, "user", 2); err != nil {
		return err
	}
	if sc.users[0].room, err = s.createRoom(ctx, sc.users[0]); err != nil {
		return err
	}
	if err := s.join(ctx, sc.users[1], sc.users[0].room); err != nil {
		return err
	}
	costs := make([][len(sizes)]float64, len(g.of))
	from := 0
	for j, size := range sizes {
		fmt.Fprintf(os.Stderr, "%s: %d …\n", g.name, size)
		if err := g.grow(ctx, sc, from, size); err != nil {
			return err
		}
		from = size
		for i, l := range g.of {
			one := &scene{server: s, users: sc.users[:1], many: sc.many}
			c, err := l.measure(ctx, one, o.duration)
			if err != nil {
				return fmt.Errorf("%s: %w", l.name, err)
			}
			costs[i][j] = c.cpuMS
		}
	}
	fmt.Fprintf(w, "\n| %s | %d | %d | %d |\n|---|---|---|---|\n", g.name, sizes[0], sizes[1], sizes[2])
	for i, l := range g.of {
		fmt.Fprintf(w, "| %s | %.2f | %.2f | %.2f |\n", l.name, costs[i][0], costs[i][1], costs[i][2])
	}
	return nil
}

func growEvents(ctx context.Context, s *scene, from, size int) error {
	return inParallel(size-from, func(i int) error {
		return s.send(ctx, s.users[0], s.users[0].room, fmt.Sprintf("grow-%d", from+i))
	})
}

func growRooms(ctx context.Context, s *scene, from, size int) error {
	return inParallel(size-from, func(int) error {
		_, err := s.createRoom(ctx, s.users[0])
		return err
	})
}

func growMembers(ctx context.Context, s *scene, from, size int) error {
	return inParallel(size-from, func(i int) error {
		users, err := s.register(ctx, fmt.Sprintf("member%d-", from+i), 1)
		if err != nil {
			return err
		}
		return s.join(ctx, users[0], s.users[0].room)
	})
}

// inParallel calls do n times, sixteen at once, and returns an error of one.
func inParallel(n int, do func(i int) error) error {
	next := make(chan int)
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	return failed
}

// inRoom is a request below the first room.
func inRoom(ctx context.Context, s *scene, method, path string, body, into any) error {
	return s.call(ctx, s.users[0].token, method, "/v3/rooms/"+url.PathEscape(s.users[0].room)+path, body, into)
}

// unique makes transaction ids that differ between measurements.
func unique(i int) string { return fmt.Sprintf("%d-%d", time.Now().UnixNano(), i) }

func sendLoad() load {
	return load{name: "send", do: func(ctx context.Context, s *scene, _, i int) error {
		return s.send(ctx, s.users[0], s.users[0].room, unique(i))
	}}
}

func stateLoad() load {
	return load{name: "set state", do: func(ctx context.Context, s *scene, _, i int) error {
		return inRoom(ctx, s, http.MethodPut, "/state/m.room.topic/", object{"topic": unique(i)}, nil)
	}}
}

// newest is the room's latest event.
func newest(ctx context.Context, s *scene) (string, error) {
	var page struct {
		Chunk []struct {
			EventID string `json:"event_id"`
		} `json:"chunk"`
	}
	if err := inRoom(ctx, s, http.MethodGet, "/messages?dir=b&limit=1", nil, &page); err != nil {
		return "", err
	}
	if len(page.Chunk) == 0 {
		return "", fmt.Errorf("the room is empty")
	}
	return page.Chunk[0].EventID, nil
}

func receiptLoad() load {
	var last string
	return load{name: "read receipt", prepare: func(ctx context.Context, s *scene) (err error) {
		last, err = newest(ctx, s)
		return err
	}, do: func(ctx context.Context, s *scene, _, _ int) error {
		return inRoom(ctx, s, http.MethodPost, "/receipt/m.read/"+url.PathEscape(last), object{}, nil)
	}}
}

func incrementalLoad() load {
	w := &waiter{}
	return load{name: "sync of one new message, the sending included", prepare: func(ctx context.Context, s *scene) error {
		w.user, w.since = s.users[0], ""
		return w.sync(ctx, s.server, 0)
	}, do: func(ctx context.Context, s *scene, _, i int) error {
		if err := s.send(ctx, s.users[0], s.users[0].room, unique(i)); err != nil {
			return err
		}
		return w.sync(ctx, s.server, 0)
	}}
}

func messagesLoad() load {
	return load{name: "ten messages back", do: func(ctx context.Context, s *scene, _, _ int) error {
		return inRoom(ctx, s, http.MethodGet, "/messages?dir=b&limit=10", nil, nil)
	}}
}

func contextLoad() load {
	var last string
	return load{name: "context of an event, members lazily", prepare: func(ctx context.Context, s *scene) (err error) {
		last, err = newest(ctx, s)
		return err
	}, do: func(ctx context.Context, s *scene, _, _ int) error {
		filter := url.QueryEscape(`{"lazy_load_members":true}`)
		return inRoom(ctx, s, http.MethodGet, "/context/"+url.PathEscape(last)+"?limit=10&filter="+filter, nil, nil)
	}}
}

func typingLoad() load {
	return load{name: "typing", do: func(ctx context.Context, s *scene, _, i int) error {
		return inRoom(ctx, s, http.MethodPut, "/typing/"+url.PathEscape(s.users[0].id), object{"typing": i%2 == 0, "timeout": 30000}, nil)
	}}
}

func membersLoad(name string) load {
	return load{name: name, do: func(ctx context.Context, s *scene, _, _ int) error {
		return inRoom(ctx, s, http.MethodGet, "/members", nil, nil)
	}}
}
