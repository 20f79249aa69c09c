// SPDX-License-Identifier: Apache-2.0

package homeserver

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	kjson "sigs.k8s.io/json"

	matrixv1alpha1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/homeserver/config"
	"github.com/foyer-matrix/foyer/internal/manifest"
)

// protectedKeys are the keys of the server's configuration that spec.config
// cannot set: the operator derives them from the cluster or from fields of
// the spec. Each protects what is below it.
func protectedKeys() []string {
	return []string{
		"admins",
		"dataDir",
		"database.url",
		"database.urlFile",
		"federation",
		"listen",
		"logLevel",
		"media.dir",
		"media.maxUploadBytes",
		"publicBaseURL",
		"rateLimits",
		"registration",
		"rooms.defaultVersion",
		"serverName",
		"signingKeyFile",
		"wellKnown.enabled",
	}
}

// ProtectedKeys returns the keys of spec.config that are ignored because the
// operator owns them, sorted.
//
// Returns a *manifest.ConfigError when spec.config is not an object.
func ProtectedKeys(hs *matrixv1alpha1.Homeserver) ([]string, error) {
	users, err := passthrough(hs)
	if err != nil {
		return nil, err
	}
	_, ignored := split(users, "")
	return ignored, nil
}

func passthrough(hs *matrixv1alpha1.Homeserver) (map[string]any, error) {
	if hs.Spec.Config == nil || len(hs.Spec.Config.Raw) == 0 {
		return nil, nil
	}
	var users map[string]any
	if err := json.Unmarshal(hs.Spec.Config.Raw, &users); err != nil {
		return nil, &manifest.ConfigError{Message: "it must be an object of configuration keys"}
	}
	return users, nil
}

// merge lays the allowed keys of spec.config over ours. It decodes with exact
// key names: encoding/json would take "DataDir" for dataDir and so let a
// protected key through.
func merge(hs *matrixv1alpha1.Homeserver, ours config.Config) (config.Config, error) {
	users, err := passthrough(hs)
	if err != nil {
		return config.Config{}, err
	}
	allowed, _ := split(users, "")
	if len(allowed) == 0 {
		return ours, nil
	}
	encoded, err := json.Marshal(ours)
	if err != nil {
		return config.Config{}, fmt.Errorf("encode configuration: %w", err)
	}
	var merged map[string]any
	if err := json.Unmarshal(encoded, &merged); err != nil {
		return config.Config{}, fmt.Errorf("decode configuration: %w", err)
	}
	overlay(merged, allowed)
	if encoded, err = json.Marshal(merged); err != nil {
		return config.Config{}, fmt.Errorf("encode configuration: %w", err)
	}
	var out config.Config
	unknown, err := kjson.UnmarshalStrict(encoded, &out)
	if err != nil {
		return config.Config{}, &manifest.ConfigError{Message: "a value has the wrong type; see the server's configuration reference"}
	}
	if len(unknown) > 0 {
		return config.Config{}, &manifest.ConfigError{Message: unknown[0].Error()}
	}
	if err := check(encoded); err != nil {
		return config.Config{}, &manifest.ConfigError{Message: err.Error()}
	}
	return out, nil
}

// check asks the server's own validation before a pod has to fail on it.
func check(encoded []byte) error {
	complete := config.Default()
	if err := json.Unmarshal(encoded, &complete); err != nil {
		return err
	}
	complete.Complete()
	return complete.Validate()
}

// split returns the part of users that may be used, and the sorted keys that
// may not. A key above protected ones may only hold an object: null or a list
// would wipe them out.
func split(users map[string]any, prefix string) (allowed map[string]any, ignored []string) {
	allowed = map[string]any{}
	for _, key := range slices.Sorted(maps.Keys(users)) {
		path := prefix + key
		children, object := users[key].(map[string]any)
		switch {
		case protected(path), !object && above(path):
			ignored = append(ignored, path)
		case object:
			below, above := split(children, path+".")
			ignored = append(ignored, above...)
			if len(below) > 0 {
				allowed[key] = below
			}
		default:
			allowed[key] = users[key]
		}
	}
	return allowed, ignored
}

func protected(path string) bool { return slices.Contains(protectedKeys(), path) }

func above(path string) bool {
	return slices.ContainsFunc(protectedKeys(), func(key string) bool { return strings.HasPrefix(key, path+".") })
}

func overlay(under, over map[string]any) {
	for key, value := range over {
		below, ok := under[key].(map[string]any)
		children, object := value.(map[string]any)
		if ok && object {
			overlay(below, children)
			continue
		}
		under[key] = value
	}
}
