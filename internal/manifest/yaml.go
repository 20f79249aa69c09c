// SPDX-License-Identifier: Apache-2.0

package manifest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// YAML returns objects as YAML documents for people to read: without fields
// that only the cluster sets, and with the text of Secrets in stringData,
// where it is legible and can still be applied.
func YAML(objects []client.Object) ([]byte, error) {
	var out bytes.Buffer
	for _, object := range objects {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(object)
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", object.GetName(), err)
		}
		delete(fields, "status")
		if fields["kind"] == "Secret" {
			legible(fields)
		}
		document, err := yaml.Marshal(withoutNulls(fields))
		if err != nil {
			return nil, fmt.Errorf("encode %s: %w", object.GetName(), err)
		}
		out.WriteString("---\n")
		out.Write(document)
	}
	return out.Bytes(), nil
}

// legible moves what is text from data to stringData.
func legible(secret map[string]any) {
	data, ok := secret["data"].(map[string]any)
	if !ok {
		return
	}
	texts := map[string]any{}
	for key, value := range data {
		encoded, isText := value.(string)
		raw, err := base64.StdEncoding.DecodeString(encoded)
		if isText && err == nil && utf8.Valid(raw) {
			texts[key] = string(raw)
			delete(data, key)
		}
	}
	if len(data) == 0 {
		delete(secret, "data")
	}
	secret["stringData"] = texts
}

// withoutNulls drops nulls, such as the creation time of what does not exist.
func withoutNulls(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			if item == nil {
				delete(value, key)
				continue
			}
			value[key] = withoutNulls(item)
		}
	case []any:
		for i, item := range value {
			value[i] = withoutNulls(item)
		}
	}
	return value
}
