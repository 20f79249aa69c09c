// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	matrixv1 "github.com/foyer-matrix/foyer/api/v1alpha1"
	"github.com/foyer-matrix/foyer/internal/naming"
)

func TestK14_ProtectedConfigurationKeysAreReportedAndOursUsed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) {
		hs.Spec.Config = &runtime.RawExtension{Raw: []byte(`{"serverName":"evil.example","dataDir":"/etc"}`)}
	})
	w.waitFor(hs, expectation{kind: matrixv1.ConditionConfigValid, status: metav1.ConditionFalse, reason: matrixv1.ReasonProtectedKey, message: "dataDir, serverName"})
	w.runToReady(hs)
	secret := read(w, &corev1.Secret{ObjectMeta: naming.ForHomeserver(hs).ConfigSecret()})
	file := string(secret.Data[naming.KeyConfig])
	if strings.Contains(file, "evil.example") || !strings.Contains(file, "serverName: "+hs.Spec.ServerName) {
		t.Errorf("the configuration is\n%s", file)
	}
	update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.Config = nil })
	w.waitFor(hs, expectation{kind: matrixv1.ConditionConfigValid, status: metav1.ConditionTrue, reason: matrixv1.ReasonValid})

	update(w, hs, func(hs *matrixv1.Homeserver) {
		hs.Spec.Config = &runtime.RawExtension{Raw: []byte(`{"noSuchKey":1}`)}
	})
	w.waitFor(hs, stalled(matrixv1.ReasonConfigInvalid), expectation{kind: matrixv1.ConditionConfigValid, status: metav1.ConditionFalse, reason: matrixv1.ReasonConfigInvalid})
}

func TestK15_OurLabelsWinOverTheUsers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) {
		hs.Spec.Pod = &matrixv1.PodOptions{Labels: map[string]matrixv1.LabelValue{
			naming.LabelInstance: "someone-else", "team": "chat",
		}}
	})
	set := exists(w, statefulSetOf(hs))
	if got := set.Spec.Template.Labels[naming.LabelInstance]; got != "campus" {
		t.Errorf("the pod's instance is %q", got)
	}
	if got := set.Spec.Template.Labels["team"]; got != "chat" {
		t.Errorf("the user's own label is %q", got)
	}
	w.runToReady(hs)
}

func TestK21_SimilarNamesHaveDistinctChildren(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	names := []string{"a", "a-homeserver", "a-b", "a.b", "a-homeserver-data"}
	owners := map[string]string{}
	for _, name := range names {
		hs := w.createHomeserver(name, func(hs *matrixv1.Homeserver) { hs.Spec.Federation = &matrixv1.Federation{Enabled: true} })
		w.runToReady(hs)
		for _, child := range w.children(hs) {
			key := fmt.Sprintf("%T %s", child, child.GetName())
			if owners[key] != "" {
				t.Errorf("%s belongs to %s and to %s", key, owners[key], name)
			}
			owners[key] = name
		}
	}
}

func TestK22_ForeignObjectsOfAChildsNameAreLeftAlone(t *testing.T) {
	t.Parallel()
	names := naming.ForHomeserver(&matrixv1.Homeserver{ObjectMeta: metav1.ObjectMeta{Name: "campus"}})
	for kind, foreign := range map[string]client.Object{
		"Service": &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Name: names.ClientService().Name}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}},
		},
		"Secret of the signing key": &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: names.SigningKeySecret().Name}, StringData: map[string]string{"mine": "yes"},
		},
		"ServiceAccount": &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: names.ServiceAccount().Name}},
		"PersistentVolumeClaim": &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: names.DataClaim().Name}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: quantity("1Gi")}},
		}},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.start(operatorSettings{})
			obj := foreign.DeepCopyObject().(client.Object) //nolint:forcetypeassert // a copy has the same type
			obj.SetNamespace(w.namespace)
			w.must(w.Create(w.ctx, obj))
			version := obj.GetResourceVersion()
			hs := w.createHomeserver("campus")
			w.waitFor(hs, ready(matrixv1.ReasonNotOwned), stalled(matrixv1.ReasonNotOwned))
			if read(w, obj).GetResourceVersion() != version {
				t.Error("the foreign object was written to")
			}
			// Gone: the operator goes on by itself.
			w.must(w.Delete(w.ctx, obj))
			w.dropFinalizers(obj)
			w.runToReady(hs)
		})
	}
}

func TestK23_ChildrenChangedOrDeletedByHandAreRestoredWithOneEvent(t *testing.T) {
	t.Parallel()
	for name, damage := range map[string]func(w *world, hs *matrixv1.Homeserver){
		"a Service is deleted": func(w *world, hs *matrixv1.Homeserver) {
			service := read(w, &corev1.Service{ObjectMeta: naming.ForHomeserver(hs).ClientService()})
			uid := service.UID
			w.must(w.Delete(w.ctx, service))
			w.eventually(func() error {
				if err := w.Get(w.ctx, client.ObjectKeyFromObject(service), service); err != nil {
					return err
				}
				return unless(service.UID != uid, "the Service is still the old one")
			})
		},
		"a Service's port is changed": func(w *world, hs *matrixv1.Homeserver) {
			service := &corev1.Service{ObjectMeta: naming.ForHomeserver(hs).ClientService()}
			update(w, service, func(s *corev1.Service) { s.Spec.Ports[0].Port = 1234 })
			w.eventually(func() error {
				if err := w.Get(w.ctx, client.ObjectKeyFromObject(service), service); err != nil {
					return err // it may have to be made anew
				}
				return unless(service.Spec.Ports[0].Port == naming.PortClient, "the port is still wrong")
			})
		},
		"the server's arguments get one more": func(w *world, hs *matrixv1.Homeserver) {
			set := statefulSetOf(hs)
			update(w, set, func(s *appsv1.StatefulSet) {
				s.Spec.Template.Spec.Containers[0].Args = append(s.Spec.Template.Spec.Containers[0].Args, "--evil")
			})
			w.eventually(func() error {
				return unless(!strings.Contains(fmt.Sprint(read(w, set).Spec.Template.Spec.Containers[0].Args), "--evil"), "the argument is still there")
			})
		},
		"the configuration is emptied": func(w *world, hs *matrixv1.Homeserver) {
			secret := &corev1.Secret{ObjectMeta: naming.ForHomeserver(hs).ConfigSecret()}
			update(w, secret, func(s *corev1.Secret) { s.Data = nil })
			w.eventually(func() error {
				return unless(len(read(w, secret).Data[naming.KeyConfig]) > 0, "the configuration is still empty")
			})
		},
		"our labels are removed": func(w *world, hs *matrixv1.Homeserver) {
			service := &corev1.Service{ObjectMeta: naming.ForHomeserver(hs).ClientService()}
			update(w, service, func(s *corev1.Service) { s.Labels = nil })
			w.eventually(func() error {
				return unless(read(w, service).Labels[naming.LabelManagedBy] == naming.ManagedBy, "the labels are still gone")
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			op := w.start(operatorSettings{})
			hs := w.createHomeserver("campus")
			hs = w.runToReady(hs)
			damage(w, hs)
			w.report(hs, 1)
			w.waitFor(hs, isReady())
			for range 3 {
				if _, err := w.reconcileNow(op, hs); err != nil {
					t.Fatal(err)
				}
			}
			if seen := w.eventsOf(hs, "Restored"); len(seen) != 1 || seen[0].Series != nil {
				t.Errorf("%d Events: %+v", len(seen), seen)
			}
		})
	}
}

func TestK23_EachOfSeveralDeletedChildrenHasItsEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	hs = w.runToReady(hs)
	names := naming.ForHomeserver(hs)
	children := []client.Object{&corev1.Service{ObjectMeta: names.ClientService()}, &corev1.ServiceAccount{ObjectMeta: names.ServiceAccount()}}
	for _, child := range children {
		w.must(w.Delete(w.ctx, child))
	}
	for _, child := range children {
		w.eventually(func() error {
			told := slices.ContainsFunc(w.recorded(hs, "Restored"), func(event eventsv1.Event) bool {
				return event.Related != nil && event.Related.Name == child.GetName() && strings.Contains(event.Note, event.Related.Kind+" "+child.GetName())
			})
			return unless(told, "no Event about "+child.GetName())
		})
	}
}

func TestK23_RestorationIsReportedByAnOperatorThatDoesNotSeeItsOwnLastStatus(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hs := w.createHomeserver("campus")
	past := w.freeze(hs, nil)
	op := w.start(operatorSettings{})
	hs = w.runToReady(hs)
	op.stop()
	service := &corev1.Service{ObjectMeta: naming.ForHomeserver(hs).ClientService()}
	w.must(w.Delete(w.ctx, service))
	recorded := w.reconcilePast(past, hs)
	read(w, service)
	told := slices.DeleteFunc(recorded, func(event string) bool { return !strings.Contains(event, " Restored Service "+service.Name) })
	if len(told) != 1 {
		t.Errorf("%d Events about it in %q", len(told), recorded)
	}
}

func unless(holds bool, problem string) error {
	if holds {
		return nil
	}
	return fmt.Errorf("%s", problem)
}

func TestK32_ReplicasByAnAutoscalerAndAnInjectedSidecarAreKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	op := w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	hs = w.runToReady(hs)

	// A mesh adds a sidecar to the template.
	set := statefulSetOf(hs)
	update(w, set, func(s *appsv1.StatefulSet) {
		s.Spec.Template.Spec.Containers = append(s.Spec.Template.Spec.Containers, corev1.Container{Name: "mesh", Image: "mesh"})
		s.Spec.Template.Annotations["mesh/injected"] = "yes"
	})
	// A change of the spec makes the operator apply the StatefulSet again.
	update(w, hs, func(hs *matrixv1.Homeserver) { hs.Spec.Image = "registry.example/foyer:9" })
	w.eventually(func() error {
		return unless(read(w, set).Spec.Template.Spec.Containers[0].Image == "registry.example/foyer:9", "the image is not applied")
	})
	if containers := set.Spec.Template.Spec.Containers; len(containers) != 2 || containers[1].Name != "mesh" || set.Spec.Template.Annotations["mesh/injected"] != "yes" {
		t.Errorf("the sidecar is gone: %v", containers)
	}

	// An autoscaler scales a workload of several replicas, which this version
	// has for no Homeserver yet: the mechanism is tried on a bare StatefulSet.
	owner := read(w, hs)
	a := &applier{client: op.manager.GetClient(), live: op.manager.GetAPIReader(), owner: owner, labels: naming.ForHomeserver(hs).Labels()}
	scaled := func(replicas int32) *appsv1.StatefulSet {
		labels := map[string]string{"app": "scaled"}
		return &appsv1.StatefulSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "scaled"},
			Spec: appsv1.StatefulSetSpec{
				Replicas: ptr.To(replicas), Selector: &metav1.LabelSelector{MatchLabels: labels},
				Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "a"}}}},
			},
		}
	}
	for _, step := range []struct {
		say     string
		wanted  int32
		scale   int32
		replica int32
	}{
		{"two are asked for", 2, 0, 2},
		{"the autoscaler's five are kept", 2, 5, 5},
		{"they are kept when the spec asks for three", 3, 0, 5},
		{"a single replica is not left to it", 1, 0, 1},
	} {
		live := scaled(step.wanted)
		if step.scale > 0 {
			w.must(w.SubResource("scale").Update(w.ctx, read(w, live), client.WithSubResourceBody(&autoscalingv1.Scale{Spec: autoscalingv1.ScaleSpec{Replicas: step.scale}}), client.FieldOwner(scaler)))
		}
		for range 2 {
			if _, err := a.apply(w.ctx, scaled(step.wanted)); err != nil {
				t.Fatal(err)
			}
		}
		if got := *read(w, live).Spec.Replicas; got != step.replica {
			t.Errorf("%s: %d replicas, want %d", step.say, got, step.replica)
		}
	}
}

func TestK33_SecondReconcileOf100UnchangedHomeserversWritesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first := w.start(operatorSettings{wait: time.Minute}) // a hundred that poll would only wait for each other
	var all []*matrixv1.Homeserver
	for i := range 100 {
		all = append(all, w.createHomeserver(fmt.Sprintf("hs-%d", i), func(hs *matrixv1.Homeserver) {
			hs.Spec.Federation = &matrixv1.Federation{Enabled: true}
			hs.Spec.WellKnown = &matrixv1.WellKnown{Enabled: true}
			hs.Spec.Registration.Mode = matrixv1.RegistrationToken
			hs.Spec.Storage.Size = quantity("1024Mi")
			hs.Spec.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: quantity("0.5"), corev1.ResourceMemory: quantity("1024Mi")}
		}))
	}
	for _, hs := range all {
		w.runToReady(hs)
	}
	first.stop()

	second := w.start(operatorSettings{})
	for _, hs := range all {
		for range 2 {
			if _, err := w.reconcileNow(second, hs); err != nil {
				t.Fatal(err)
			}
		}
	}
	if writes := w.writes(second); len(writes) != 0 {
		t.Errorf("%d writes: %v", len(writes), writes)
	}
	if writes := w.writes(first); len(writes) < 100*10 {
		t.Errorf("only %d writes of the first operator were seen: %v", len(writes), writes)
	}
}

func TestK33_ObjectsNoLongerWantedAreDeletedAndNothingElse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus", func(hs *matrixv1.Homeserver) {
		hs.Spec.Federation = &matrixv1.Federation{Enabled: true}
		hs.Spec.Registration.Mode = matrixv1.RegistrationToken
	})
	w.runToReady(hs)
	names := naming.ForHomeserver(hs)
	bystander := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.namespace, Name: "bystander", Labels: names.Labels()}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	w.must(w.Create(w.ctx, bystander))
	update(w, hs, func(hs *matrixv1.Homeserver) {
		hs.Spec.Federation = nil
		hs.Spec.Registration.Mode = matrixv1.RegistrationClosed
	})
	w.gone(&corev1.Service{ObjectMeta: names.FederationService()})
	read(w, bystander)
	read(w, &corev1.Secret{ObjectMeta: names.RegistrationTokenSecret()})
	read(w, claimOf(hs))
}

func TestAppliedFieldsAreOnlyThoseThatABuilderSet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start(operatorSettings{})
	hs := w.createHomeserver("campus")
	w.runToReady(hs)
	for _, child := range w.children(hs) {
		fields, err := json.Marshal(ownFields(child))
		if err != nil {
			t.Fatal(err)
		}
		for _, zero := range []string{`"f:status"`, `"f:creationTimestamp"`, `"f:volumeMode"`, `"f:clusterIPs"`, `"f:terminationMessagePath"`} {
			if strings.Contains(string(fields), zero) {
				t.Errorf("%T %s: we own %s", child, child.GetName(), zero)
			}
		}
	}
}
