// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"encoding/json"
	"fmt"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/foyer-matrix/foyer/internal/homeserver/event"
	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// field says where one field of a request struct comes from.
type field struct {
	index    int
	name     string
	required bool
	typ      reflect.Type
}

// plan is a request struct's tags, read once.
type plan struct {
	path, query []field
	body        *structPlan // members of the JSON body; nil: none
	raw         int         // field that takes the whole body; -1: none
}

// makePlan reads the tags of typ. A wrong tag is a mistake of the program, so
// it panics, at start, naming the field.
func makePlan(typ reflect.Type) *plan {
	p := &plan{raw: -1}
	if typ.Kind() != reflect.Struct {
		panic(fmt.Sprintf("httpapi: request type %s is no struct", typ))
	}
	for i := range typ.NumField() {
		f := typ.Field(i)
		one := field{index: i, typ: f.Type, required: f.Tag.Get("required") == "true"}
		switch {
		case f.Tag.Get("path") != "":
			one.name = f.Tag.Get("path")
			p.path = append(p.path, one)
		case f.Tag.Get("query") != "":
			one.name = f.Tag.Get("query")
			p.query = append(p.query, one)
		case f.Tag.Get("body") == "raw":
			if f.Type != rawMessage {
				panic(fmt.Sprintf("httpapi: %s.%s takes the raw body and must be json.RawMessage", typ, f.Name))
			}
			p.raw = i
		case f.Tag.Get("json") == "":
			panic(fmt.Sprintf("httpapi: %s.%s has no path, query, json or body tag", typ, f.Name))
		}
	}
	for _, f := range append(p.path, p.query...) {
		if !canParse(f.typ) {
			panic(fmt.Sprintf("httpapi: cannot read %s into a field of %s", f.name, typ))
		}
	}
	if s := structPlanOf(typ); len(s.fields) > 0 {
		p.body = s
	}
	return p
}

// wantsBody reports whether the request has a JSON body.
func (p *plan) wantsBody() bool { return p.raw >= 0 || p.body != nil }

// params fills in what comes from the URL.
func (p *plan) params(r *Request, into reflect.Value) error {
	for _, f := range p.path {
		if err := f.parse(r.Param(f.name), into.Field(f.index)); err != nil {
			return err
		}
	}
	if len(p.query) == 0 {
		return nil
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return matrixerr.InvalidParam("query string cannot be read")
	}
	for _, f := range p.query {
		values, present := query[f.name]
		switch {
		case !present && f.required:
			return matrixerr.MissingParam(f.name)
		case !present:
			continue
		}
		if err := f.parseAll(values, into.Field(f.index)); err != nil {
			return err
		}
	}
	return nil
}

var (
	rawMessage  = reflect.TypeFor[json.RawMessage]()
	unmarshaler = reflect.TypeFor[json.Unmarshaler]()
	stringSlice = reflect.TypeFor[[]string]()
)

// checkers verify identifiers where they come in, so that nothing behind has to.
var checkers = map[reflect.Type]func(string) error{
	reflect.TypeFor[event.UserID]():     func(s string) error { _, err := event.ParseUserID(s); return err },
	reflect.TypeFor[event.RoomID]():     func(s string) error { _, err := event.ParseRoomID(s); return err },
	reflect.TypeFor[event.EventID]():    func(s string) error { _, err := event.ParseEventID(s); return err },
	reflect.TypeFor[event.RoomAlias]():  func(s string) error { _, err := event.ParseRoomAlias(s); return err },
	reflect.TypeFor[event.ServerName](): func(s string) error { _, err := event.ParseServerName(s); return err },
}

// canParse reports whether a parameter can be read into typ.
func canParse(typ reflect.Type) bool {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	switch typ.Kind() {
	case reflect.String, reflect.Int, reflect.Int64, reflect.Bool:
		return true
	default:
		return typ == stringSlice
	}
}

func (f *field) parseAll(values []string, into reflect.Value) error {
	if f.typ != stringSlice {
		return f.parse(values[0], into)
	}
	for _, v := range values {
		if !utf8.ValidString(v) {
			return matrixerr.InvalidParam(f.name + " is not UTF-8")
		}
	}
	into.Set(reflect.ValueOf(values))
	return nil
}

// parse reads one parameter.
func (f *field) parse(value string, into reflect.Value) error {
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		into = into.Elem()
	}
	if !utf8.ValidString(value) {
		return matrixerr.InvalidParam(f.name + " is not UTF-8")
	}
	if check := checkers[into.Type()]; check != nil {
		if err := check(value); err != nil {
			return matrixerr.InvalidParam(f.name + " is not a valid identifier")
		}
	}
	switch into.Kind() {
	case reflect.String:
		into.SetString(value)
	case reflect.Int, reflect.Int64:
		n, err := parseInt(value)
		if err != nil {
			return matrixerr.InvalidParam(f.name + " is not an integer")
		}
		into.SetInt(n)
	default:
		if value != "true" && value != "false" {
			return matrixerr.InvalidParam(f.name + " is neither true nor false")
		}
		into.SetBool(value == "true")
	}
	return nil
}

// parseInt reads a decimal number; beyond int64 it is clamped, because limits
// that large are clamped by whoever asked for them anyway.
func parseInt(value string) (int64, error) {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil && strings.Contains(err.Error(), strconv.ErrRange.Error()) {
		return n, nil
	}
	return n, err
}
