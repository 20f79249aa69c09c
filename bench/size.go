// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
)

// sqliteFile is where a server on SQLite is told to keep its database, where it can be told.
const sqliteFile = "homeserver.db"

// databaseBytes is the size of the database of a server that is stopped.
func databaseBytes(ctx context.Context, p place) (int64, error) {
	if p.database != "" {
		return postgresBytes(ctx, p.database)
	}
	files, err := filepath.Glob(filepath.Join(p.data, "*.db*"))
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil {
			return 0, err
		}
		sum += info.Size()
	}
	if sum == 0 {
		return 0, fmt.Errorf("no database in %s", p.data)
	}
	return sum, nil
}

func postgresBytes(ctx context.Context, database string) (int64, error) {
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		return 0, err
	}
	var size int64
	err = conn.QueryRow(ctx, "SELECT pg_database_size(current_database())").Scan(&size)
	return size, errors.Join(err, conn.Close(ctx))
}

// createDatabase makes an empty database beside the one of the URL.
func createDatabase(ctx context.Context, postgres *url.URL, name string) (string, error) {
	conn, err := pgx.Connect(ctx, postgres.String())
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return "", err
	}
	own := *postgres
	own.Path = "/" + name
	return own.String(), nil
}

// mix has the users join rooms and talk there, and returns how many events that made.
func (s *scene) mix(ctx context.Context) (int, error) {
	const rooms, messages = 10, 20
	events := 0
	for i := range rooms {
		room, err := s.createRoom(ctx, s.users[0])
		if err != nil {
			return 0, err
		}
		for j, u := range s.users {
			if j > 0 {
				if err := s.join(ctx, u, room); err != nil {
					return 0, err
				}
				events++
			}
			for k := range messages {
				if err := s.send(ctx, u, room, fmt.Sprintf("mix-%d-%d-%d", i, j, k)); err != nil {
					return 0, err
				}
				events++
			}
		}
	}
	return events, nil
}
