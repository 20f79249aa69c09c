// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
)

func parse(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return value
}

func TestCovers(t *testing.T) {
	const ownImage = `{"f:containers":{"k:{\"name\":\"a\"}":{".":{},"f:name":{},"f:image":{}}}}`
	for name, test := range map[string]struct {
		want, have, fields string
		covered            bool
	}{
		"equal and ours":                            {`{"a":1}`, `{"a":1}`, `{"f:a":{}}`, true},
		"others' fields do not matter":              {`{"a":1}`, `{"a":1,"b":2}`, `{"f:a":{}}`, true},
		"another value":                             {`{"a":1}`, `{"a":2}`, `{"f:a":{}}`, false},
		"the same value, but no longer ours":        {`{"a":1}`, `{"a":1}`, `{}`, true}, // {} ends here: the whole is atomic and equal
		"one of two fields is no longer ours":       {`{"a":1,"b":2}`, `{"a":1,"b":2}`, `{"f:a":{}}`, false},
		"a field is gone":                           {`{"a":1}`, `{}`, `{"f:a":{}}`, false},
		"a list of maps with a sidecar":             {`{"containers":[{"name":"a","image":"x"}]}`, `{"containers":[{"name":"s"},{"name":"a","image":"x","policy":"p"}]}`, ownImage, true},
		"a list of maps with another value":         {`{"containers":[{"name":"a","image":"x"}]}`, `{"containers":[{"name":"a","image":"y"}]}`, ownImage, false},
		"a list of maps without ours":               {`{"containers":[{"name":"a","image":"x"}]}`, `{"containers":[{"name":"s"}]}`, ownImage, false},
		"a key that the API server fills in":        {`{"p":[{"port":1}]}`, `{"p":[{"port":1,"protocol":"TCP"}]}`, `{"f:p":{"k:{\"port\":1,\"protocol\":\"TCP\"}":{".":{},"f:port":{}}}}`, true},
		"an atomic list":                            {`{"args":["a"]}`, `{"args":["a"]}`, `{"f:args":{}}`, true},
		"an atomic list with one more":              {`{"args":["a"]}`, `{"args":["a","b"]}`, `{"f:args":{}}`, false},
		"an atomic list with defaults in its items": {`{"rules":[{"host":"h"}]}`, `{"rules":[{"host":"h","x":"default"}]}`, `{"f:rules":{}}`, true},
		"a set with others in it":                   {`{"f":["a"]}`, `{"f":["b","a"]}`, `{"f:f":{"v:\"a\"":{}}}`, true},
		"a set without ours":                        {`{"f":["a"]}`, `{"f":["b"]}`, `{"f:f":{"v:\"a\"":{}}}`, false},
		"quantities in other units":                 {`{"s":"1024Mi"}`, `{"s":"1Gi"}`, `{"f:s":{}}`, true},
		"texts that are no quantities":              {`{"s":"a"}`, `{"s":"b"}`, `{"f:s":{}}`, false},
		"a map where a list should be":              {`{"s":["a"]}`, `{"s":{"a":1}}`, `{"f:s":{}}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			fields, _ := parse(t, test.fields).(map[string]any)
			if got := covers(parse(t, test.want), parse(t, test.have), fields); got != test.covered {
				t.Errorf("covers is %v", got)
			}
		})
	}
}

func TestDropZeroesKeepsWhatWasSet(t *testing.T) {
	policy := &networkingv1.NetworkPolicy{Spec: networkingv1.NetworkPolicySpec{
		Ingress: []networkingv1.NetworkPolicyIngressRule{{}, {From: []networkingv1.NetworkPolicyPeer{{PodSelector: &metav1.LabelSelector{}}}}},
	}}
	pod := &corev1.Pod{Spec: corev1.PodSpec{
		Containers: []corev1.Container{{Name: "a"}},
		Volumes:    []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}},
	}}
	for _, test := range []struct {
		obj  client.Object
		want string
	}{
		{policy, `{"spec":{"ingress":[{},{"from":[{"podSelector":{}}]}]}}`},
		{pod, `{"spec":{"containers":[{"name":"a"}],"volumes":[{"emptyDir":{},"name":"v"}]}}`},
		{&corev1.Service{}, `{}`},
	} {
		fields, err := content(test.obj)
		if err != nil {
			t.Fatal(err)
		}
		delete(fields, "status")
		dropZeroes(fields, reflect.TypeOf(test.obj))
		got, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != test.want {
			t.Errorf("%T: %s, want %s", test.obj, got, test.want)
		}
	}
}

type trail struct{ names []string }

func (s *trail) first(context.Context, *trail) (ctrl.Result, error) {
	s.names = append(s.names, "first")
	return ctrl.Result{}, nil
}

func (s *trail) again(context.Context, *trail) (ctrl.Result, error) {
	s.names = append(s.names, "again")
	return ctrl.Result{RequeueAfter: time.Second}, nil
}

func (s *trail) fails(context.Context, *trail) (ctrl.Result, error) {
	return ctrl.Result{}, waitFor("Because", "of it")
}

func TestRunSteps(t *testing.T) {
	s := &trail{}
	result, err := runSteps(t.Context(), s, s.first, s.again, s.first)
	if err != nil || result.RequeueAfter != time.Second || strings.Join(s.names, " ") != "first again" {
		t.Errorf("result %v, error %v, steps %v", result, err, s.names)
	}
	_, err = runSteps(t.Context(), s, s.fails, s.first)
	var o *outcome
	if !errors.As(err, &o) || o.reason != "Because" || err.Error() != "fails: Because: of it" || len(s.names) != 2 {
		t.Errorf("error %v, steps %v", err, s.names)
	}
}

func TestOutcomesDecideWhenToLookAgain(t *testing.T) {
	again := intervals{wait: time.Minute, stalled: time.Hour}
	boom := errors.New("boom")
	for name, test := range map[string]struct {
		err    error
		result ctrl.Result
		want   time.Duration
		fails  bool
	}{
		"done":                    {nil, ctrl.Result{}, 0, false},
		"done, but look later":    {nil, ctrl.Result{RequeueAfter: 7}, 7, false},
		"waiting is no error":     {fmt.Errorf("step: %w", waitFor("A", "b")), ctrl.Result{}, time.Minute, false},
		"stalled is no error":     {invalid("A", "b"), ctrl.Result{}, time.Hour, false},
		"anything else backs off": {boom, ctrl.Result{}, 0, true},
		"forbidden backs off":     {&outcome{reason: matrixv1.ReasonForbidden}, ctrl.Result{}, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			result, err := conclusion{again: again, err: test.err, result: test.result}.next()
			if result.RequeueAfter != test.want || (err != nil) != test.fails {
				t.Errorf("%v, %v", result, err)
			}
		})
	}
}
