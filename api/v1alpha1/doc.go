// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the kinds of the API group matrix.foyer.im: their
// fields, the rules that the API server enforces on them, and the condition
// types and reasons that the operator reports. Nothing else lives here.
//
// +kubebuilder:object:generate=true
// +groupName=matrix.foyer.im
package v1alpha1
