// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// content returns obj as the nested maps that it is in JSON.
func content(obj client.Object) (map[string]any, error) {
	out, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
	if err != nil {
		return nil, fmt.Errorf("convert %T: %w", obj, err)
	}
	return out, nil
}

// dropZeroes removes from value, which is an object of Go type t converted to
// maps, what the conversion put there although nobody set it: nulls, empty
// lists, and empty objects whose Go field is a struct. A pointer to an empty
// struct stays, because it was set: emptyDir: {} means something.
//
// Without this, server-side apply would own fields with their zero values.
func dropZeroes(value any, t reflect.Type) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch v := value.(type) {
	case map[string]any:
		dropZeroesOfMap(v, t)
	case []any:
		if t.Kind() != reflect.Slice {
			return
		}
		for _, item := range v {
			dropZeroes(item, t.Elem())
		}
	}
}

func dropZeroesOfMap(fields map[string]any, t reflect.Type) {
	for name, value := range fields {
		fieldType := memberType(t, name)
		if fieldType != nil {
			dropZeroes(value, fieldType)
		}
		if isUnset(value, fieldType) {
			delete(fields, name)
		}
	}
}

// memberType is the Go type of the member called name in JSON; nil when t has
// none, as for raw JSON.
func memberType(t reflect.Type, name string) reflect.Type {
	if t.Kind() == reflect.Map {
		return t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	for _, field := range reflect.VisibleFields(t) {
		tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if tag == name {
			return field.Type
		}
	}
	return nil
}

func isUnset(value any, t reflect.Type) bool {
	switch v := value.(type) {
	case nil:
		return true
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0 && t != nil && t.Kind() == reflect.Struct
	}
	return false
}

// ownFields returns the fields of a live object that fieldOwner owns through
// server-side apply, in the form of metadata.managedFields[].fieldsV1; nil
// when there are none.
func ownFields(live metav1.Object) map[string]any {
	for _, entry := range live.GetManagedFields() {
		if entry.Manager != string(fieldOwner) || entry.Operation != metav1.ManagedFieldsOperationApply || entry.Subresource != "" {
			continue
		}
		if entry.FieldsV1 == nil {
			return nil
		}
		var fields map[string]any
		if err := json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields); err != nil {
			return nil // unreadable is as good as absent: the object is applied again
		}
		return fields
	}
	return nil
}

// covers tells whether have, a live value, holds all of want, and whether
// every field of want is still ours in fields. It is false as soon as someone
// else changed or removed one of our fields, because the API server then takes
// the field from us. What others added is ignored.
func covers(want, have any, fields map[string]any) bool {
	if isLeaf(fields) {
		return within(want, have)
	}
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		return ok && mapCovers(w, h, fields)
	case []any:
		h, ok := have.([]any)
		return ok && listCovers(w, h, fields)
	}
	return within(want, have)
}

// isLeaf tells whether fields ends here: a scalar, or an atomic list or map.
func isLeaf(fields map[string]any) bool {
	for name := range fields {
		if name != "." {
			return false
		}
	}
	return true
}

func mapCovers(want, have, fields map[string]any) bool {
	for name, value := range want {
		owned, ok := fields["f:"+name].(map[string]any)
		if !ok || !covers(value, have[name], owned) {
			return false
		}
	}
	return true
}

func listCovers(want, have []any, fields map[string]any) bool {
	for _, item := range want {
		if !itemCovered(item, have, fields) {
			return false
		}
	}
	return true
}

// itemCovered looks for item in a list of sets ("v:<value>") or of maps with
// keys ("k:<keys>"), as the API server names them.
func itemCovered(item any, have []any, fields map[string]any) bool {
	for path, owned := range fields {
		kind, encoded, _ := strings.Cut(path, ":")
		var selector any
		if json.Unmarshal([]byte(encoded), &selector) != nil {
			continue
		}
		inner, ok := owned.(map[string]any)
		if !ok {
			continue
		}
		if kind == "v" && within(item, selector) {
			return contains(have, item)
		}
		keys, isMap := selector.(map[string]any)
		if kind != "k" || !isMap || !selects(keys, item, true) {
			continue
		}
		return selectedCovers(item, have, keyed{keys: keys, fields: inner})
	}
	return false
}

// keyed is one element of a list of maps: its keys, and which of its fields are ours.
type keyed struct {
	keys   map[string]any
	fields map[string]any
}

func selectedCovers(item any, have []any, element keyed) bool {
	for _, candidate := range have {
		if selects(element.keys, candidate, false) {
			return covers(item, candidate, element.fields)
		}
	}
	return false
}

// selects tells whether item has the keys. An absent key counts as equal when
// defaulted is true: the API server fills in, for example, a port's protocol.
func selects(keys map[string]any, item any, defaulted bool) bool {
	fields, ok := item.(map[string]any)
	if !ok {
		return false
	}
	for name, value := range keys {
		found, ok := fields[name]
		if !ok && defaulted {
			continue
		}
		if !ok || !equalScalars(found, value) {
			return false
		}
	}
	return true
}

func contains(list []any, item any) bool {
	for _, candidate := range list {
		if within(item, candidate) {
			return true
		}
	}
	return false
}

// within tells whether want equals have but for fields that the API server
// adds as defaults inside of it.
func within(want, have any) bool {
	switch w := want.(type) {
	case map[string]any:
		h, ok := have.(map[string]any)
		if !ok {
			return false
		}
		for name, value := range w {
			if found, ok := h[name]; !ok || !within(value, found) {
				return false
			}
		}
		return true
	case []any:
		h, ok := have.([]any)
		if !ok || len(w) != len(h) {
			return false
		}
		for i := range w {
			if !within(w[i], h[i]) {
				return false
			}
		}
		return true
	}
	return equalScalars(want, have)
}

// equalScalars compares by value: numbers whatever their Go type, quantities
// whatever their unit ("1024Mi" and "1Gi").
func equalScalars(a, b any) bool {
	if a == b {
		return true
	}
	left, right := fmt.Sprint(a), fmt.Sprint(b)
	if left == right {
		return true
	}
	first, err := resource.ParseQuantity(left)
	if err != nil {
		return false
	}
	second, err := resource.ParseQuantity(right)
	return err == nil && first.Cmp(second) == 0
}
