// SPDX-License-Identifier: Apache-2.0

package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"github.com/foyer-matrix/foyer/internal/homeserver/matrixerr"
)

// The decoder below is used instead of encoding/json's because that one folds
// the case of keys: to it "Membership" and even "memberſhip" are "membership".
// Matrix keys are exact.

// structPlan is the JSON members of a struct type.
type structPlan struct {
	fields []field
	byName map[string]int
}

// structPlans caches plans by type; types never change.
var structPlans sync.Map

// structPlanOf reads the json tags of typ.
func structPlanOf(typ reflect.Type) *structPlan {
	if cached, ok := structPlans.Load(typ); ok {
		return cached.(*structPlan)
	}
	s := &structPlan{byName: map[string]int{}}
	for i := range typ.NumField() {
		f := typ.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" || name == "-" || !f.IsExported() {
			continue
		}
		s.byName[name] = len(s.fields)
		s.fields = append(s.fields, field{i, name, f.Tag.Get("required") == "true", f.Type})
	}
	structPlans.Store(typ, s)
	return s
}

// DecodeJSON reads body, which CheckJSON has passed, into the struct, map or
// slice that into points to, with exact keys. Unknown keys are ignored. A
// value of the wrong type is M_BAD_JSON, a bad identifier M_INVALID_PARAM, an
// absent member tagged required:"true" M_MISSING_PARAM.
func DecodeJSON(body []byte, into any) error {
	return decodeValue(body, reflect.ValueOf(into).Elem(), "body")
}

func decodeValue(raw []byte, into reflect.Value, name string) error {
	typ := into.Type()
	raw = bytes.TrimSpace(raw)
	switch {
	case typ == rawMessage:
		into.SetBytes(raw)
		return nil
	case string(raw) == "null":
		return nil
	case reflect.PointerTo(typ).Implements(unmarshaler):
		return asBadJSON(json.Unmarshal(raw, into.Addr().Interface()), name)
	}
	switch typ.Kind() {
	case reflect.Pointer:
		into.Set(reflect.New(typ.Elem()))
		return decodeValue(raw, into.Elem(), name)
	case reflect.Struct:
		return decodeStruct(raw, into, name)
	case reflect.Map:
		return decodeMap(raw, into, name)
	case reflect.Slice:
		return decodeSlice(raw, into, name)
	default:
		return decodeScalar(raw, into, name)
	}
}

// asBadJSON words a failed decoding; the decoder's own text is not for clients.
func asBadJSON(err error, name string) error {
	var known *matrixerr.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &known):
		return known
	default:
		return matrixerr.BadJSON(name + " has the wrong type")
	}
}

func decodeScalar(raw []byte, into reflect.Value, name string) error {
	if err := json.Unmarshal(raw, into.Addr().Interface()); err != nil {
		return matrixerr.BadJSON(name + " has the wrong type")
	}
	check := checkers[into.Type()]
	if check == nil || into.String() == "" {
		return nil
	}
	if err := check(into.String()); err != nil {
		return matrixerr.InvalidParam(name + " is not a valid identifier")
	}
	return nil
}

func decodeStruct(raw []byte, into reflect.Value, name string) error {
	p := structPlanOf(into.Type())
	var seen [64]bool
	err := eachMember(raw, name, func(key string, value []byte) error {
		i, known := p.byName[key]
		if !known {
			return nil
		}
		f := &p.fields[i]
		if i < len(seen) {
			seen[i] = string(value) != "null" || f.typ == rawMessage
		}
		return decodeValue(value, into.Field(f.index), key)
	})
	if err != nil {
		return err
	}
	for i := range p.fields {
		if p.fields[i].required && i < len(seen) && !seen[i] {
			return matrixerr.MissingParam(p.fields[i].name)
		}
	}
	return nil
}

func decodeMap(raw []byte, into reflect.Value, name string) error {
	typ := into.Type()
	if typ.Key().Kind() != reflect.String {
		return fmt.Errorf("httpapi: %s: map keys must be strings", typ)
	}
	into.Set(reflect.MakeMap(typ))
	check := checkers[typ.Key()]
	return eachMember(raw, name, func(key string, value []byte) error {
		if check != nil && check(key) != nil {
			return matrixerr.InvalidParam(name + " has a key that is not a valid identifier")
		}
		element, err := decodeElement(value, typ.Elem(), name)
		if err != nil {
			return err
		}
		into.SetMapIndex(reflect.ValueOf(key).Convert(typ.Key()), element)
		return nil
	})
}

func decodeSlice(raw []byte, into reflect.Value, name string) error {
	typ := into.Type()
	if typ.Elem().Kind() == reflect.Uint8 {
		return decodeScalar(raw, into, name)
	}
	s := scanner{src: raw}
	if s.space() != '[' {
		return matrixerr.BadJSON(name + " is no array")
	}
	into.Set(reflect.MakeSlice(typ, 0, 0))
	for s.pos++; s.space() != ']'; {
		start := s.pos
		if err := s.value(0); err != nil {
			return err
		}
		element, err := decodeElement(raw[start:s.pos], typ.Elem(), name)
		if err != nil {
			return err
		}
		into.Set(reflect.Append(into, element))
		if s.space() == ',' {
			s.pos++
		}
	}
	return nil
}

// decodeElement reads an element of an array or map. Unlike a member, it
// cannot be left out, so null and empty identifiers are refused.
func decodeElement(raw []byte, typ reflect.Type, name string) (reflect.Value, error) {
	element := reflect.New(typ).Elem()
	if string(raw) == "null" && typ.Kind() == reflect.String {
		return element, matrixerr.BadJSON(name + " has an element of the wrong type")
	}
	if err := decodeValue(raw, element, name); err != nil {
		return element, err
	}
	if checkers[typ] != nil && element.String() == "" {
		return element, matrixerr.InvalidParam(name + " has an element that is not a valid identifier")
	}
	return element, nil
}

// eachMember calls f with the members of the object raw.
func eachMember(raw []byte, name string, f func(key string, value []byte) error) error {
	s := scanner{src: raw}
	if s.space() != '{' {
		return matrixerr.BadJSON(name + " is no object")
	}
	for s.pos++; s.space() != '}'; {
		key, err := s.str()
		if err != nil {
			return err
		}
		s.space()
		s.pos++ // the colon
		s.space()
		start := s.pos
		if err := s.value(0); err != nil {
			return err
		}
		if err := f(string(key), raw[start:s.pos]); err != nil {
			return err
		}
		if s.space() == ',' {
			s.pos++
		}
	}
	return nil
}
