// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"errors"
)

// PushRule is a push rule that a user made, or what the user changed of a predefined one.
type PushRule struct {
	UserID, Kind, ID string
	// Builtin: it is predefined; conditions and pattern are not stored, and
	// Actions is empty where the user has not changed them.
	Builtin, Enabled bool
	// Actions and Conditions are JSON lists.
	Actions, Conditions []byte
	Pattern             string
	// Place orders the rules of a kind, the most important first.
	Place int64
}

// PushRulesType is the type of account data as which clients see push rules.
// Its row holds nothing: it says when they changed.
const PushRulesType = "m.push_rules"

const (
	pushRuleColumns  = `SELECT user_id, kind, rule_id, builtin, place, enabled, actions, conditions, pattern FROM push_rules `
	selectPushRules  = pushRuleColumns + `WHERE user_id = $1 ORDER BY kind, place, rule_id`
	selectPushRule   = pushRuleColumns + `WHERE user_id = $1 AND kind = $2 AND rule_id = $3`
	countPushRules   = `SELECT COUNT(*) FROM push_rules WHERE user_id = $1`
	selectFirstPlace = `SELECT COALESCE(MIN(place), 0) FROM push_rules WHERE user_id = $1 AND kind = $2 AND builtin = 0`
	selectPlaceUnder = `SELECT COALESCE(MIN(place), $4) FROM push_rules WHERE user_id = $1 AND kind = $2 AND builtin = 0 AND place > $3`
	selectPlaceAbove = `SELECT COALESCE(MAX(place), $4) FROM push_rules WHERE user_id = $1 AND kind = $2 AND builtin = 0 AND place < $3`
	lowerPlaces      = `UPDATE push_rules SET place = place + $1 WHERE user_id = $2 AND kind = $3 AND place > $4`
	raisePlaces      = `UPDATE push_rules SET place = place - $1 WHERE user_id = $2 AND kind = $3 AND place < $4`
	upsertPushRule   = `INSERT INTO push_rules (user_id, kind, rule_id, builtin, place, enabled, actions, conditions, pattern)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (user_id, kind, rule_id) DO UPDATE SET place = excluded.place,
	enabled = excluded.enabled, actions = excluded.actions, conditions = excluded.conditions, pattern = excluded.pattern`
	deletePushRule = `DELETE FROM push_rules WHERE user_id = $1 AND kind = $2 AND rule_id = $3 AND builtin = 0`
)

func scanPushRule(row scanner) (PushRule, error) {
	var r PushRule
	var id, pattern []byte
	var builtin, enabled int64
	err := row.Scan(&r.UserID, &r.Kind, &id, &builtin, &r.Place, &enabled, &r.Actions, &r.Conditions, &pattern)
	r.ID, r.Pattern, r.Builtin, r.Enabled = string(id), string(pattern), builtin != 0, enabled != 0
	return r, err
}

// PushRules returns the rules of a user by kind, the most important of each first.
func (s *Store) PushRules(ctx context.Context, user string) ([]PushRule, error) {
	return queryAll(ctx, s, scanPushRule, selectPushRules, user)
}

// PushRulePlace says where among the user's rules of its kind a rule goes.
type PushRulePlace struct {
	// Before and After name a rule that is to be the next less or the next
	// more important one; Before wins. Where both are empty a new rule goes
	// first, and one that exists stays.
	Before, After string
	// Limit is how many rules a user may have.
	Limit int64
}

// PutPushRule stores a rule of the user's own. One that exists stays switched
// off if it is.
//
// Errors: ErrNotFound when there is no such rule to be placed next to,
// ErrTooMany.
func (s *Store) PutPushRule(ctx context.Context, r PushRule, where PushRulePlace) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.Exec(ctx, lockUser, r.UserID); err != nil {
			return err
		}
		old, err := queryOne(ctx, tx, scanPushRule, selectPushRule, r.UserID, r.Kind, []byte(r.ID))
		exists := err == nil
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		row := r
		row.Enabled = !exists || old.Enabled
		if !exists {
			if err := tx.roomForPushRule(ctx, r.UserID, where.Limit); err != nil {
				return err
			}
		}
		if row.Place, err = tx.placePushRule(ctx, r, where, old.Place, exists); err != nil {
			return err
		}
		return tx.putPushRule(ctx, row)
	})
}

// roomForPushRule returns ErrTooMany when the user has as many rules as one may have.
func (tx *Tx) roomForPushRule(ctx context.Context, user string, limit int64) error {
	n, err := queryOne(ctx, tx, scanInt64, countPushRules, user)
	if err == nil && n >= limit {
		return ErrTooMany
	}
	return err
}

// placeStep is how far rules are put apart, so that others fit between them.
const placeStep = 1 << 20

// placePushRule returns the place for a rule, and makes room for it.
func (tx *Tx) placePushRule(ctx context.Context, r PushRule, where PushRulePlace, old int64, exists bool) (int64, error) {
	next := where.Before
	if next == "" {
		next = where.After
	}
	if next == "" {
		if exists {
			return old, nil
		}
		first, err := queryOne(ctx, tx, scanInt64, selectFirstPlace, r.UserID, r.Kind)
		return first - placeStep, err
	}
	neighbour, err := queryOne(ctx, tx, scanPushRule, selectPushRule, r.UserID, r.Kind, []byte(next))
	if err != nil {
		return 0, err
	}
	switch {
	case neighbour.Builtin:
		return 0, ErrNotFound
	case next == r.ID:
		return old, nil
	case where.Before != "":
		return tx.placeAbove(ctx, r, neighbour.Place)
	default:
		return tx.placeUnder(ctx, r, neighbour.Place)
	}
}

func (tx *Tx) placeAbove(ctx context.Context, r PushRule, place int64) (int64, error) {
	above, err := queryOne(ctx, tx, scanInt64, selectPlaceAbove, r.UserID, r.Kind, place, place-2*placeStep)
	if err != nil || place-above >= 2 {
		return above + (place-above)/2, err
	}
	_, err = tx.Exec(ctx, raisePlaces, placeStep, r.UserID, r.Kind, place)
	return place - placeStep/2, err
}

func (tx *Tx) placeUnder(ctx context.Context, r PushRule, place int64) (int64, error) {
	under, err := queryOne(ctx, tx, scanInt64, selectPlaceUnder, r.UserID, r.Kind, place, place+2*placeStep)
	if err != nil || under-place >= 2 {
		return place + (under-place)/2, err
	}
	_, err = tx.Exec(ctx, lowerPlaces, placeStep, r.UserID, r.Kind, place)
	return place + placeStep/2, err
}

// putPushRule stores a rule as it is and tells the user's devices.
func (tx *Tx) putPushRule(ctx context.Context, r PushRule) error {
	// A column that is empty is read as nil, which would be written as NULL.
	_, err := tx.Exec(ctx, upsertPushRule, r.UserID, r.Kind, []byte(r.ID), flag(r.Builtin), r.Place, flag(r.Enabled),
		append([]byte{}, r.Actions...), append([]byte{}, r.Conditions...), []byte(r.Pattern))
	tx.pushRulesChanged(r.UserID)
	return err
}

// pushRulesChanged tells the user's devices.
func (tx *Tx) pushRulesChanged(user string) {
	pos := tx.Change(Change{Kind: ChangeAccountData, UserID: user})
	tx.Later(upsertAccountData, user, 0, []byte(PushRulesType), []byte("{}"), 0, pos)
}

// ChangePushRule changes a rule by what change makes of it. A predefined rule
// that the user has not changed yet begins as fallback; without a fallback
// it has to exist.
//
// Errors: ErrNotFound.
func (s *Store) ChangePushRule(ctx context.Context, key PushRule, fallback *PushRule, change func(*PushRule)) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.Exec(ctx, lockUser, key.UserID); err != nil {
			return err
		}
		r, err := queryOne(ctx, tx, scanPushRule, selectPushRule, key.UserID, key.Kind, []byte(key.ID))
		if errors.Is(err, ErrNotFound) && fallback != nil {
			r, err = *fallback, nil
		}
		if err != nil {
			return err
		}
		change(&r)
		return tx.putPushRule(ctx, r)
	})
}

// DeletePushRule deletes a rule of the user's own, or returns ErrNotFound.
func (s *Store) DeletePushRule(ctx context.Context, key PushRule) error {
	return s.Do(ctx, func(ctx context.Context, tx *Tx) error {
		n, err := tx.Exec(ctx, deletePushRule, key.UserID, key.Kind, []byte(key.ID))
		if err == nil && n == 0 {
			return ErrNotFound
		}
		tx.pushRulesChanged(key.UserID)
		return err
	})
}
