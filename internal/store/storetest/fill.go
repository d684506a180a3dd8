package storetest

import (
	"fmt"
	"hash/crc32"
	"reflect"
	"time"

	"upkeep/internal/window"
)

// Fill sets every exported field below v, which points to a value. What a field
// is set to comes from its path alone, so that it stays when others are added.
func Fill(v any) {
	fill(reflect.ValueOf(v).Elem(), reflect.TypeOf(v).Elem().Name(), 0)
}

// maxDepth ends types that contain themselves.
const maxDepth = 8

func fill(v reflect.Value, path string, depth int) {
	n := int64(crc32.ChecksumIEEE([]byte(path))%10_000) + 1
	switch v.Type() {
	case reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(start.Add(time.Duration(n) * time.Second)))
		return
	case reflect.TypeFor[window.Window]():
		v.Set(reflect.ValueOf(Window(time.Tuesday)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(path)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(n)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), path, depth+1)
	case reflect.Slice:
		if depth > maxDepth {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fill(v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, path+"[key]", depth+1)
		fill(value, path+"[value]", depth+1)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if field := v.Type().Field(i); field.IsExported() {
				fill(v.Field(i), path+"."+field.Name, depth+1)
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
