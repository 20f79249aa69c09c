// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

// crash makes an operator die after its n-th write: whatever it tries to write
// later fails. n < 0 never crashes.
type crash struct {
	after   int64
	writes  atomic.Int64
	once    sync.Once
	crashed chan struct{}
}

func crashAfter(n int64) *crash {
	return &crash{after: n, crashed: make(chan struct{})}
}

func (c *crash) wrap(inner client.Client) client.Client {
	return Fence(inner, func(context.Context) error {
		if n := c.writes.Add(1); c.after >= 0 && n > c.after {
			c.once.Do(func() { close(c.crashed) })
			return errors.New("crashed")
		}
		return nil
	})
}

// life creates a Homeserver, changes it and makes it Ready each time, under an
// operator that crashes after write n and is followed by a healthy one. It
// returns all the objects in the end, and how many writes the first one did.
func life(t *testing.T, n int64) (string, int64) {
	t.Helper()
	w := newWorld(t)
	c := crashAfter(n)
	first, second := w.start(operatorSettings{wrap: c.wrap}), w.build(operatorSettings{})
	ctx, cancel := context.WithCancel(w.ctx)
	var successor sync.WaitGroup
	successor.Go(func() {
		select {
		case <-c.crashed:
			first.stop()
			if err := second.manager.Start(ctx); err != nil {
				t.Error(err)
			}
		case <-ctx.Done():
		}
	})
	defer successor.Wait()
	defer cancel()

	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) {
		hs.Spec.Federation = &matrixv1.Federation{Enabled: true}
		hs.Spec.Registration.Mode = matrixv1.RegistrationToken
		hs.Spec.DeletionPolicy = matrixv1.DeletionDelete
	})
	w.runToReady(hs)
	update(w, hs, func(hs *matrixv1.Homeserver) {
		hs.Spec.Federation = nil
		hs.Spec.Image = "registry.example/foyer:2"
		hs.Spec.DeletionPolicy = matrixv1.DeletionRetain
	})
	w.waitFor(hs) // of this generation
	w.eventually(func() error {
		w.report(hs, 1)
		seen := read(w, hs.DeepCopy())
		return unless(seen.Status.ObservedGeneration == seen.Generation && strings.Contains(describe(seen.Status.Conditions), "Ready=True"), describe(seen.Status.Conditions))
	})
	w.gone(&corev1.Service{ObjectMeta: naming.ForHomeserver(hs).FederationService()})
	return w.portrait(hs), c.writes.Load()
}

// portrait is all children of hs without what differs from run to run.
func (w *world) portrait(hs *matrixv1.Homeserver) string {
	w.t.Helper()
	var lines []string
	for _, child := range w.children(hs) {
		fields, err := content(child)
		w.must(err)
		metadata, _ := fields["metadata"].(map[string]any)
		for _, name := range []string{"uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"} {
			delete(metadata, name)
		}
		delete(fields, "status")
		if spec, ok := fields["spec"].(map[string]any); ok {
			delete(spec, "clusterIP")
			delete(spec, "clusterIPs")
		}
		if secret, ok := child.(*corev1.Secret); ok {
			values := map[string]any{}
			for key, value := range secret.Data {
				values[key] = string(value)
				if holdsData(secret) {
					values[key] = "generated"
				}
			}
			fields["data"] = values
		}
		encoded, err := json.Marshal(fields)
		w.must(err)
		lines = append(lines, fmt.Sprintf("%T %s", child, encoded))
	}
	text := strings.Join(lines, "\n")
	text = strings.ReplaceAll(text, w.namespace, "NAMESPACE")
	text = strings.ReplaceAll(text, string(hs.UID), "UID")
	for _, random := range []string{annotationApplied, annotationSigningKey, annotationVolume, naming.AnnotationConfigHash} {
		text = blank(text, random)
	}
	lines = strings.Split(text, "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// blank replaces the value of each JSON member called name.
func blank(text, name string) string {
	parts := strings.Split(text, `"`+name+`":"`)
	for i := 1; i < len(parts); i++ {
		parts[i] = parts[i][strings.Index(parts[i], `"`):]
	}
	return strings.Join(parts, `"`+name+`":"`)
}

func TestK30_OperatorKilledAfterEachOfItsWritesEndsInTheSameObjects(t *testing.T) {
	t.Parallel()
	reference, writes := life(t, -1)
	t.Logf("the whole life takes %d writes", writes)
	if writes < 10 {
		t.Fatalf("only %d writes", writes)
	}
	for n := range writes {
		t.Run(fmt.Sprintf("after write %d", n), func(t *testing.T) {
			t.Parallel()
			got, _ := life(t, n)
			if got != reference {
				t.Errorf("the objects differ from those without a crash (-): %s", cmp.Diff(strings.Split(reference, "\n"), strings.Split(got, "\n")))
			}
		})
	}
}

func TestK34_StatusWrittenByAUserIsRecomputed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	w.waitFor(hs, ready(matrixv1.ReasonProgressing))
	w.eventually(func() error {
		live := read(w, hs.DeepCopy())
		live.Status.Conditions = []metav1.Condition{{
			Type: matrixv1.ConditionReady, Status: metav1.ConditionTrue, Reason: "Because", Message: "I say so",
			ObservedGeneration: live.Generation, LastTransitionTime: metav1.Now(),
		}}
		live.Status.URL = "https://elsewhere.example"
		return w.Status().Update(w.ctx, live)
	})
	seen := w.waitFor(hs, ready(matrixv1.ReasonProgressing))
	if seen.Status.URL != "https://"+hs.Spec.Host {
		t.Errorf("the URL is %q", seen.Status.URL)
	}
}

// outage answers every request of an operator whose path contains part with
// status while it is on.
type outage struct {
	on      atomic.Bool
	status  int
	part    string
	refused atomic.Int64
}

func (o *outage) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(request *http.Request) (*http.Response, error) {
		if !o.on.Load() || !strings.Contains(request.URL.Path, o.part) || strings.Contains(request.URL.Path, "/events") {
			return next.RoundTrip(request)
		}
		o.refused.Add(1)
		return &http.Response{
			StatusCode: o.status, Status: http.StatusText(o.status), Request: request, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader("out of order")), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		}, nil
	})
}

func TestK35_ServersRunOnWhileTheAPIFailsAndTheOperatorConvergesAfterwards(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"429": http.StatusTooManyRequests, "500": http.StatusInternalServerError} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			o := &outage{status: status}
			w.start(operatorSettings{transport: o.wrap})
			hs := w.createHomeserver("campus")
			hs = w.runToReady(hs)
			set := read(w, statefulSetOf(hs))
			o.on.Store(true)
			update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.Image = "registry.example/foyer:2" })
			w.eventually(func() error { return unless(o.refused.Load() >= 5, "too few requests were refused") })
			if read(w, statefulSetOf(hs)).Generation != set.Generation {
				t.Error("the running server was touched")
			}
			o.on.Store(false)
			w.eventually(func() error {
				return unless(read(w, statefulSetOf(hs)).Spec.Template.Spec.Containers[0].Image == "registry.example/foyer:2", "the new image is not applied")
			})
			w.report(hs, 1)
			w.waitFor(hs, isReady())
		})
	}
}

func TestK36_OperatorWhoseLeaseIsStolenWritesNothingMoreAndEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.start(operatorSettings{lease: w.namespace})
	hs := w.createHomeserver("campus")
	hs = w.runToReady(hs)

	update(w, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: leaseName}}, func(lease *coordinationv1.Lease) {
		lease.Spec.HolderIdentity = ptr.To("the thief")
		lease.Spec.RenewTime = ptr.To(metav1.NowMicro())
		lease.Spec.LeaseDurationSeconds = ptr.To[int32](3600)
	})
	before := w.snapshot(hs)
	update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.Image = "registry.example/foyer:2" })
	written := read(w, hs.DeepCopy()).ResourceVersion
	select {
	case err := <-op.ended:
		if err == nil || !strings.Contains(err.Error(), "leader election lost") {
			t.Errorf("the operator ended with %v", err)
		}
		op.ended <- err
	case <-time.After(patience):
		t.Fatal("the operator did not end")
	}
	after := w.snapshot(hs)
	if strings.SplitN(after, " ", 2)[1] != strings.SplitN(before, " ", 2)[1] || read(w, hs.DeepCopy()).ResourceVersion != written {
		t.Errorf("it wrote after it had lost the lead:\n%s\n%s", before, after)
	}
}
