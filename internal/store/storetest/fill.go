package storetest

import (
	"fmt"
	"reflect"
	"time"

	"upkeep/internal/window"
)

// Fill sets every exported field below v, which points to a value, each to
// another value, always the same ones in the same type.
func Fill(v any) {
	f := filler{}
	f.fill(reflect.ValueOf(v).Elem(), reflect.TypeOf(v).Elem().Name(), 0)
}

type filler struct{ n int64 }

// maxDepth ends types that contain themselves.
const maxDepth = 8

func (f *filler) fill(v reflect.Value, path string, depth int) {
	f.n++
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(start.Add(time.Duration(f.n) * time.Second)))
		return
	case reflect.TypeFor[window.Window]():
		v.Set(reflect.ValueOf(Window(time.Tuesday)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(fmt.Sprintf("%s-%d", path, f.n))
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(f.n)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem(), path, depth+1)
	case reflect.Slice:
		if depth > maxDepth {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			f.fill(v.Index(i), path, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		f.fill(key, path, depth+1)
		f.fill(value, path, depth+1)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if field.IsExported() {
				f.fill(v.Field(i), field.Name, depth+1)
			}
		}
	default:
		panic(fmt.Sprintf("storetest.Fill can't fill %s, a %s: teach it", path, v.Kind()))
	}
}

// Window is a weekly window of four hours in Berlin.
func Window(day time.Weekday) window.Window {
	r, err := window.Weekly(day, "22:30", "Europe/Berlin")
	if err != nil {
		panic(err)
	}
	return window.Window{Recurrence: r, Duration: 4 * time.Hour}
}
