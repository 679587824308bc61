//! Gives back what it is given, whatever its type. Made by the tests of host/runtime, which have the list of types.

#![allow(unsafe_op_in_unsafe_fn, reason = "the bindings are of an older edition")]

#[rustfmt::skip]
mod bindings {
    wit_bindgen::generate!({ path: "wit/table.wit", world: "table" });
}

use bindings::exports::mesh::table::values::*;

struct Table;

#[rustfmt::skip]
impl Guest for Table {
    fn id_bool(value: bool) -> bool {
        value
    }

    fn id_s8(value: i8) -> i8 {
        value
    }

    fn id_u8(value: u8) -> u8 {
        value
    }

    fn id_s16(value: i16) -> i16 {
        value
    }

    fn id_u16(value: u16) -> u16 {
        value
    }

    fn id_s32(value: i32) -> i32 {
        value
    }

    fn id_u32(value: u32) -> u32 {
        value
    }

    fn id_s64(value: i64) -> i64 {
        value
    }

    fn id_u64(value: u64) -> u64 {
        value
    }

    fn id_f32(value: f32) -> f32 {
        value
    }

    fn id_f64(value: f64) -> f64 {
        value
    }

    fn id_char(value: char) -> char {
        value
    }

    fn id_string(value: String) -> String {
        value
    }

    fn id_color(value: Color) -> Color {
        value
    }

    fn id_access(value: Access) -> Access {
        value
    }

    fn id_list_bool(value: Vec<bool>) -> Vec<bool> {
        value
    }

    fn id_list_s8(value: Vec<i8>) -> Vec<i8> {
        value
    }

    fn id_list_u8(value: Vec<u8>) -> Vec<u8> {
        value
    }

    fn id_list_s16(value: Vec<i16>) -> Vec<i16> {
        value
    }

    fn id_list_u16(value: Vec<u16>) -> Vec<u16> {
        value
    }

    fn id_list_s32(value: Vec<i32>) -> Vec<i32> {
        value
    }

    fn id_list_u32(value: Vec<u32>) -> Vec<u32> {
        value
    }

    fn id_list_s64(value: Vec<i64>) -> Vec<i64> {
        value
    }

    fn id_list_u64(value: Vec<u64>) -> Vec<u64> {
        value
    }

    fn id_list_f32(value: Vec<f32>) -> Vec<f32> {
        value
    }

    fn id_list_f64(value: Vec<f64>) -> Vec<f64> {
        value
    }

    fn id_list_char(value: Vec<char>) -> Vec<char> {
        value
    }

    fn id_list_string(value: Vec<String>) -> Vec<String> {
        value
    }

    fn id_list_color(value: Vec<Color>) -> Vec<Color> {
        value
    }

    fn id_list_access(value: Vec<Access>) -> Vec<Access> {
        value
    }

    fn id_option_bool(value: Option<bool>) -> Option<bool> {
        value
    }

    fn id_option_s8(value: Option<i8>) -> Option<i8> {
        value
    }

    fn id_option_u8(value: Option<u8>) -> Option<u8> {
        value
    }

    fn id_option_s16(value: Option<i16>) -> Option<i16> {
        value
    }

    fn id_option_u16(value: Option<u16>) -> Option<u16> {
        value
    }

    fn id_option_s32(value: Option<i32>) -> Option<i32> {
        value
    }

    fn id_option_u32(value: Option<u32>) -> Option<u32> {
        value
    }

    fn id_option_s64(value: Option<i64>) -> Option<i64> {
        value
    }

    fn id_option_u64(value: Option<u64>) -> Option<u64> {
        value
    }

    fn id_option_f32(value: Option<f32>) -> Option<f32> {
        value
    }

    fn id_option_f64(value: Option<f64>) -> Option<f64> {
        value
    }

    fn id_option_char(value: Option<char>) -> Option<char> {
        value
    }

    fn id_option_string(value: Option<String>) -> Option<String> {
        value
    }

    fn id_option_color(value: Option<Color>) -> Option<Color> {
        value
    }

    fn id_option_access(value: Option<Access>) -> Option<Access> {
        value
    }

    fn id_pair_bool(value: (bool, u8)) -> (bool, u8) {
        value
    }

    fn id_pair_s8(value: (i8, u8)) -> (i8, u8) {
        value
    }

    fn id_pair_u8(value: (u8, u8)) -> (u8, u8) {
        value
    }

    fn id_pair_s16(value: (i16, u8)) -> (i16, u8) {
        value
    }

    fn id_pair_u16(value: (u16, u8)) -> (u16, u8) {
        value
    }

    fn id_pair_s32(value: (i32, u8)) -> (i32, u8) {
        value
    }

    fn id_pair_u32(value: (u32, u8)) -> (u32, u8) {
        value
    }

    fn id_pair_s64(value: (i64, u8)) -> (i64, u8) {
        value
    }

    fn id_pair_u64(value: (u64, u8)) -> (u64, u8) {
        value
    }

    fn id_pair_f32(value: (f32, u8)) -> (f32, u8) {
        value
    }

    fn id_pair_f64(value: (f64, u8)) -> (f64, u8) {
        value
    }

    fn id_pair_char(value: (char, u8)) -> (char, u8) {
        value
    }

    fn id_pair_string(value: (String, u8)) -> (String, u8) {
        value
    }

    fn id_pair_color(value: (Color, u8)) -> (Color, u8) {
        value
    }

    fn id_pair_access(value: (Access, u8)) -> (Access, u8) {
        value
    }

    fn id_record_bool(value: RecordOfBool) -> RecordOfBool {
        value
    }

    fn id_record_s8(value: RecordOfS8) -> RecordOfS8 {
        value
    }

    fn id_record_u8(value: RecordOfU8) -> RecordOfU8 {
        value
    }

    fn id_record_s16(value: RecordOfS16) -> RecordOfS16 {
        value
    }

    fn id_record_u16(value: RecordOfU16) -> RecordOfU16 {
        value
    }

    fn id_record_s32(value: RecordOfS32) -> RecordOfS32 {
        value
    }

    fn id_record_u32(value: RecordOfU32) -> RecordOfU32 {
        value
    }

    fn id_record_s64(value: RecordOfS64) -> RecordOfS64 {
        value
    }

    fn id_record_u64(value: RecordOfU64) -> RecordOfU64 {
        value
    }

    fn id_record_f32(value: RecordOfF32) -> RecordOfF32 {
        value
    }

    fn id_record_f64(value: RecordOfF64) -> RecordOfF64 {
        value
    }

    fn id_record_char(value: RecordOfChar) -> RecordOfChar {
        value
    }

    fn id_record_string(value: RecordOfString) -> RecordOfString {
        value
    }

    fn id_record_color(value: RecordOfColor) -> RecordOfColor {
        value
    }

    fn id_record_access(value: RecordOfAccess) -> RecordOfAccess {
        value
    }

    fn id_variant_bool(value: VariantOfBool) -> VariantOfBool {
        value
    }

    fn id_variant_s8(value: VariantOfS8) -> VariantOfS8 {
        value
    }

    fn id_variant_u8(value: VariantOfU8) -> VariantOfU8 {
        value
    }

    fn id_variant_s16(value: VariantOfS16) -> VariantOfS16 {
        value
    }

    fn id_variant_u16(value: VariantOfU16) -> VariantOfU16 {
        value
    }

    fn id_variant_s32(value: VariantOfS32) -> VariantOfS32 {
        value
    }

    fn id_variant_u32(value: VariantOfU32) -> VariantOfU32 {
        value
    }

    fn id_variant_s64(value: VariantOfS64) -> VariantOfS64 {
        value
    }

    fn id_variant_u64(value: VariantOfU64) -> VariantOfU64 {
        value
    }

    fn id_variant_f32(value: VariantOfF32) -> VariantOfF32 {
        value
    }

    fn id_variant_f64(value: VariantOfF64) -> VariantOfF64 {
        value
    }

    fn id_variant_char(value: VariantOfChar) -> VariantOfChar {
        value
    }

    fn id_variant_string(value: VariantOfString) -> VariantOfString {
        value
    }

    fn id_variant_color(value: VariantOfColor) -> VariantOfColor {
        value
    }

    fn id_variant_access(value: VariantOfAccess) -> VariantOfAccess {
        value
    }

    fn id_result_bool(value: Result<bool, String>) -> Result<bool, String> {
        value
    }

    fn id_result_s8(value: Result<i8, String>) -> Result<i8, String> {
        value
    }

    fn id_result_u8(value: Result<u8, String>) -> Result<u8, String> {
        value
    }

    fn id_result_s16(value: Result<i16, String>) -> Result<i16, String> {
        value
    }

    fn id_result_u16(value: Result<u16, String>) -> Result<u16, String> {
        value
    }

    fn id_result_s32(value: Result<i32, String>) -> Result<i32, String> {
        value
    }

    fn id_result_u32(value: Result<u32, String>) -> Result<u32, String> {
        value
    }

    fn id_result_s64(value: Result<i64, String>) -> Result<i64, String> {
        value
    }

    fn id_result_u64(value: Result<u64, String>) -> Result<u64, String> {
        value
    }

    fn id_result_f32(value: Result<f32, String>) -> Result<f32, String> {
        value
    }

    fn id_result_f64(value: Result<f64, String>) -> Result<f64, String> {
        value
    }

    fn id_result_char(value: Result<char, String>) -> Result<char, String> {
        value
    }

    fn id_result_string(value: Result<String, String>) -> Result<String, String> {
        value
    }

    fn id_result_color(value: Result<Color, String>) -> Result<Color, String> {
        value
    }

    fn id_result_access(value: Result<Access, String>) -> Result<Access, String> {
        value
    }

    fn id_failure_bool(value: Result<(), bool>) -> Result<(), bool> {
        value
    }

    fn id_failure_s8(value: Result<(), i8>) -> Result<(), i8> {
        value
    }

    fn id_failure_u8(value: Result<(), u8>) -> Result<(), u8> {
        value
    }

    fn id_failure_s16(value: Result<(), i16>) -> Result<(), i16> {
        value
    }

    fn id_failure_u16(value: Result<(), u16>) -> Result<(), u16> {
        value
    }

    fn id_failure_s32(value: Result<(), i32>) -> Result<(), i32> {
        value
    }

    fn id_failure_u32(value: Result<(), u32>) -> Result<(), u32> {
        value
    }

    fn id_failure_s64(value: Result<(), i64>) -> Result<(), i64> {
        value
    }

    fn id_failure_u64(value: Result<(), u64>) -> Result<(), u64> {
        value
    }

    fn id_failure_f32(value: Result<(), f32>) -> Result<(), f32> {
        value
    }

    fn id_failure_f64(value: Result<(), f64>) -> Result<(), f64> {
        value
    }

    fn id_failure_char(value: Result<(), char>) -> Result<(), char> {
        value
    }

    fn id_failure_string(value: Result<(), String>) -> Result<(), String> {
        value
    }

    fn id_failure_color(value: Result<(), Color>) -> Result<(), Color> {
        value
    }

    fn id_failure_access(value: Result<(), Access>) -> Result<(), Access> {
        value
    }

    fn id_list_list_bool(value: Vec<Vec<bool>>) -> Vec<Vec<bool>> {
        value
    }

    fn id_list_option_s8(value: Vec<Option<i8>>) -> Vec<Option<i8>> {
        value
    }

    fn id_list_pair_u8(value: Vec<(u8, u8)>) -> Vec<(u8, u8)> {
        value
    }

    fn id_list_record_s16(value: Vec<RecordOfS16>) -> Vec<RecordOfS16> {
        value
    }

    fn id_list_variant_u16(value: Vec<VariantOfU16>) -> Vec<VariantOfU16> {
        value
    }

    fn id_list_result_s32(value: Vec<Result<i32, String>>) -> Vec<Result<i32, String>> {
        value
    }

    fn id_list_failure_u32(value: Vec<Result<(), u32>>) -> Vec<Result<(), u32>> {
        value
    }

    fn id_option_list_s64(value: Option<Vec<i64>>) -> Option<Vec<i64>> {
        value
    }

    fn id_option_option_u64(value: Option<Option<u64>>) -> Option<Option<u64>> {
        value
    }

    fn id_option_pair_f32(value: Option<(f32, u8)>) -> Option<(f32, u8)> {
        value
    }

    fn id_option_record_f64(value: Option<RecordOfF64>) -> Option<RecordOfF64> {
        value
    }

    fn id_option_variant_char(value: Option<VariantOfChar>) -> Option<VariantOfChar> {
        value
    }

    fn id_option_result_string(value: Option<Result<String, String>>) -> Option<Result<String, String>> {
        value
    }

    fn id_option_failure_color(value: Option<Result<(), Color>>) -> Option<Result<(), Color>> {
        value
    }

    fn id_pair_list_access(value: (Vec<Access>, u8)) -> (Vec<Access>, u8) {
        value
    }

    fn id_pair_option_bool(value: (Option<bool>, u8)) -> (Option<bool>, u8) {
        value
    }

    fn id_pair_pair_s8(value: ((i8, u8), u8)) -> ((i8, u8), u8) {
        value
    }

    fn id_pair_record_u8(value: (RecordOfU8, u8)) -> (RecordOfU8, u8) {
        value
    }

    fn id_pair_variant_s16(value: (VariantOfS16, u8)) -> (VariantOfS16, u8) {
        value
    }

    fn id_pair_result_u16(value: (Result<u16, String>, u8)) -> (Result<u16, String>, u8) {
        value
    }

    fn id_pair_failure_s32(value: (Result<(), i32>, u8)) -> (Result<(), i32>, u8) {
        value
    }

    fn id_record_list_u32(value: RecordOfListU32) -> RecordOfListU32 {
        value
    }

    fn id_record_option_s64(value: RecordOfOptionS64) -> RecordOfOptionS64 {
        value
    }

    fn id_record_pair_u64(value: RecordOfPairU64) -> RecordOfPairU64 {
        value
    }

    fn id_record_record_f32(value: RecordOfRecordOfF32) -> RecordOfRecordOfF32 {
        value
    }

    fn id_record_variant_f64(value: RecordOfVariantOfF64) -> RecordOfVariantOfF64 {
        value
    }

    fn id_record_result_char(value: RecordOfResultChar) -> RecordOfResultChar {
        value
    }

    fn id_record_failure_string(value: RecordOfFailureString) -> RecordOfFailureString {
        value
    }

    fn id_variant_list_color(value: VariantOfListColor) -> VariantOfListColor {
        value
    }

    fn id_variant_option_access(value: VariantOfOptionAccess) -> VariantOfOptionAccess {
        value
    }

    fn id_variant_pair_bool(value: VariantOfPairBool) -> VariantOfPairBool {
        value
    }

    fn id_variant_record_s8(value: VariantOfRecordOfS8) -> VariantOfRecordOfS8 {
        value
    }

    fn id_variant_variant_u8(value: VariantOfVariantOfU8) -> VariantOfVariantOfU8 {
        value
    }

    fn id_variant_result_s16(value: VariantOfResultS16) -> VariantOfResultS16 {
        value
    }

    fn id_variant_failure_u16(value: VariantOfFailureU16) -> VariantOfFailureU16 {
        value
    }

    fn id_result_list_s32(value: Result<Vec<i32>, String>) -> Result<Vec<i32>, String> {
        value
    }

    fn id_result_option_u32(value: Result<Option<u32>, String>) -> Result<Option<u32>, String> {
        value
    }

    fn id_result_pair_s64(value: Result<(i64, u8), String>) -> Result<(i64, u8), String> {
        value
    }

    fn id_result_record_u64(value: Result<RecordOfU64, String>) -> Result<RecordOfU64, String> {
        value
    }

    fn id_result_variant_f32(value: Result<VariantOfF32, String>) -> Result<VariantOfF32, String> {
        value
    }

    fn id_result_result_f64(value: Result<Result<f64, String>, String>) -> Result<Result<f64, String>, String> {
        value
    }

    fn id_result_failure_char(value: Result<Result<(), char>, String>) -> Result<Result<(), char>, String> {
        value
    }

    fn id_failure_list_string(value: Result<(), Vec<String>>) -> Result<(), Vec<String>> {
        value
    }

    fn id_failure_option_color(value: Result<(), Option<Color>>) -> Result<(), Option<Color>> {
        value
    }

    fn id_failure_pair_access(value: Result<(), (Access, u8)>) -> Result<(), (Access, u8)> {
        value
    }

    fn id_failure_record_bool(value: Result<(), RecordOfBool>) -> Result<(), RecordOfBool> {
        value
    }

    fn id_failure_variant_s8(value: Result<(), VariantOfS8>) -> Result<(), VariantOfS8> {
        value
    }

    fn id_failure_result_u8(value: Result<(), Result<u8, String>>) -> Result<(), Result<u8, String>> {
        value
    }

    fn id_failure_failure_s16(value: Result<(), Result<(), i16>>) -> Result<(), Result<(), i16>> {
        value
    }

}

impl bindings::Guest for Table {
    fn root_id(value: String) -> String {
        value
    }
}

bindings::export!(Table with_types_in bindings);
