// SPDX-License-Identifier: Apache-2.0

package crd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/json"
	apivalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// Admission defaults and validates new objects of this API as an API server
// does when they are created.
type Admission struct {
	kinds map[schema.GroupVersionKind]kind
}

type kind struct {
	structural *structural.Structural
	schema     validation.SchemaCreateValidator
	rules      *cel.Validator
}

// NewAdmission compiles the embedded definitions.
func NewAdmission() (*Admission, error) {
	definitions, err := Definitions()
	if err != nil {
		return nil, err
	}
	admission := &Admission{kinds: map[schema.GroupVersionKind]kind{}}
	for _, definition := range definitions {
		for _, version := range definition.Spec.Versions {
			compiled, err := compile(version.Schema)
			if err != nil {
				return nil, fmt.Errorf("compile %s: %w", definition.Name, err)
			}
			gvk := schema.GroupVersionKind{
				Group: definition.Spec.Group, Version: version.Name, Kind: definition.Spec.Names.Kind,
			}
			admission.kinds[gvk] = compiled
		}
	}
	return admission, nil
}

// Decode reads one YAML or JSON document, with whole numbers as integers, as
// rules expect them. Duplicate keys are an error; an empty document gives an
// object without fields.
func Decode(document []byte) (*unstructured.Unstructured, error) {
	encoded, err := yaml.YAMLToJSONStrict(document)
	if err != nil {
		return nil, err
	}
	object := &unstructured.Unstructured{}
	if err := json.Unmarshal(encoded, &object.Object); err != nil {
		return nil, err
	}
	return object, nil
}

func compile(versioned *apiextensionsv1.CustomResourceValidation) (kind, error) {
	internal := &apiextensions.CustomResourceValidation{}
	err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(versioned, internal, nil)
	if err != nil {
		return kind{}, err
	}
	shape, err := structural.NewStructural(internal.OpenAPIV3Schema)
	if err != nil {
		return kind{}, err
	}
	validator, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
	if err != nil {
		return kind{}, err
	}
	return kind{structural: shape, schema: validator, rules: cel.NewValidator(shape, true, celconfig.PerCallLimit)}, nil
}

// Admit fills in the defaults of object and checks it. The error names every
// field that an API server would refuse, unknown ones included.
func (a *Admission) Admit(ctx context.Context, object *unstructured.Unstructured) error {
	kind, ok := a.kinds[object.GroupVersionKind()]
	if !ok {
		return fmt.Errorf("%s is not a kind of this version of Foyer", object.GroupVersionKind())
	}
	options := structural.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	if unknown := pruning.PruneWithOptions(object.Object, kind.structural, true, options); len(unknown) > 0 {
		slices.Sort(unknown)
		return fmt.Errorf("unknown fields: %s", strings.Join(unknown, ", "))
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object.Object, kind.structural)
	defaulting.Default(object.Object, kind.structural)

	var problems field.ErrorList
	for _, message := range apivalidation.IsDNS1123Subdomain(object.GetName()) {
		problems = append(problems, field.Invalid(field.NewPath("metadata", "name"), object.GetName(), message))
	}
	problems = append(problems, validation.ValidateCustomResource(nil, object.Object, kind.schema)...)
	problems = append(problems, listtype.ValidateListSetsAndMaps(nil, kind.structural, object.Object)...)
	if len(problems) == 0 {
		failed, _ := kind.rules.Validate(ctx, nil, kind.structural, object.Object, nil, celconfig.RuntimeCELCostBudget)
		problems = failed
	}
	return problems.ToAggregate()
}
