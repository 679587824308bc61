//! The signatures of a component, read from its validated type.
//!
//! Types of a component may share parts, so that few bytes spell a type of astronomic size. What is read here is a tree:
//! it is refused where it would nest deeper than values may, or take more than [`MAX_SIZE`] in all.

use std::collections::{BTreeMap, HashMap};

use mesh_claims::surface::{Server, WASI_RELEASES, server_of};
use mesh_lattice::{Interface, interface::ROOT, value};
use wasmparser::{
    Encoding, Parser, Payload, PrimitiveValType, Validator, WasmFeatures,
    component_types::{
        AliasableResourceId, ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType,
        ComponentFuncTypeId, ComponentInstanceTypeId, ComponentItem, ComponentValType, ResourceId,
    },
    types::TypesRef,
};

use crate::{
    published,
    signature::{Foreign, Function, Type},
};

/// What all signatures of a component may take: each type and each name in them counts 16, and a name its bytes.
pub const MAX_SIZE: usize = 4 << 20;

/// The functions of a component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signatures {
    /// Of the interfaces that it imports.
    pub imports: BTreeMap<Interface, Vec<Function>>,
    /// Of the interfaces that it exports.
    pub exports: BTreeMap<Interface, Vec<Function>>,
    /// Those that it imports at its root.
    pub root_imports: Vec<Function>,
    /// Those that it exports at its root.
    pub root_exports: Vec<Function>,
}

/// Why there are no signatures.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// Not a component, or a broken one.
    #[error("not a WebAssembly component: {0}")]
    Invalid(String),
    /// A type nests deeper than a value may.
    #[error("a type of {0} nests deeper than {max} levels", max = value::MAX_DEPTH)]
    TooDeep(String),
    /// The types are larger than any that serve a purpose.
    #[error("the types of its functions are too large: {0}")]
    TooLarge(String),
}

impl Signatures {
    /// Reads them.
    ///
    /// # Errors
    ///
    /// Where the bytes are no valid component, or its types are too large or nest too deep.
    pub fn read(wasm: &[u8]) -> Result<Self, SignatureError> {
        if !Parser::is_component(wasm) {
            return Err(SignatureError::Invalid("it does not begin as one does".to_owned()));
        }
        let types = Validator::new_with_features(WasmFeatures::all()).validate_all(wasm).map_err(invalid)?;
        let types = types.as_ref();
        let (imports, exports) = names(wasm)?;
        let imports: Vec<_> = found(&imports, |name| types.component_item_for_import(name));
        let exports: Vec<_> = found(&exports, |name| types.component_item_for_export(name));
        let root = Named::of(imports.iter().chain(&exports).copied());
        let imported = imported(types, &imports);
        let mut reader = Reader { types, imported: &imported, exported: false, left: MAX_SIZE };
        let (imports, root_imports) = reader.side(&imports, &root)?;
        reader.exported = true;
        let (exports, root_exports) = reader.side(&exports, &root)?;
        Ok(Self { imports, exports, root_imports, root_exports })
    }
}

fn invalid(error: wasmparser::BinaryReaderError) -> SignatureError {
    SignatureError::Invalid(error.to_string())
}

fn found<'a>(names: &[&'a str], item: impl Fn(&str) -> Option<&'a ComponentItem>) -> Vec<(&'a str, &'a ComponentItem)> {
    names.iter().filter_map(|name| Some((*name, item(name)?))).collect()
}

/// The names of what the outermost component imports and exports.
fn names(wasm: &[u8]) -> Result<(Vec<&str>, Vec<&str>), SignatureError> {
    let (mut imports, mut exports, mut depth) = (Vec::new(), Vec::new(), 0_usize);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.map_err(invalid)? {
            Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(invalid)?.name.name);
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(invalid)?.name.name);
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}

/// A resource that a component imports.
struct Imported<'a> {
    name: &'a str,
    /// What declares it.
    owner: &'a str,
}

/// The resources that are imported. One that several imports mention belongs to the first: the others use it.
fn imported<'a>(types: TypesRef<'a>, imports: &[(&'a str, &'a ComponentItem)]) -> HashMap<ResourceId, Imported<'a>> {
    let mut found = HashMap::new();
    let mut add = |name: &'a str, owner: &'a str, item: &ComponentItem| {
        if let ComponentEntityType::Type { created: ComponentAnyTypeId::Resource(id), .. } = &item.ty {
            found.entry(id.resource()).or_insert(Imported { name, owner });
        }
    };
    for (owner, item) in imports {
        match &item.ty {
            ComponentEntityType::Instance(id) => {
                let exports = types.get(*id).into_iter().flat_map(|instance| &instance.exports);
                exports.for_each(|(name, item)| add(name, owner, item));
            }
            _ => add(owner, ROOT, item),
        }
    }
    found
}

/// What the types of one scope are called: an interface, or the root of the component.
#[derive(Default)]
struct Named<'a> {
    types: HashMap<ComponentDefinedTypeId, &'a str>,
    resources: HashMap<ResourceId, &'a str>,
}

impl<'a> Named<'a> {
    fn of(items: impl IntoIterator<Item = (&'a str, &'a ComponentItem)>) -> Self {
        let mut named = Self::default();
        for (name, item) in items {
            let ComponentEntityType::Type { referenced, created } = &item.ty else { continue };
            for id in [created, referenced] {
                match id {
                    ComponentAnyTypeId::Defined(id) => _ = named.types.entry(*id).or_insert(name),
                    ComponentAnyTypeId::Resource(id) => _ = named.resources.entry(id.resource()).or_insert(name),
                    _ => {}
                }
            }
        }
        named
    }
}

type Side = (BTreeMap<Interface, Vec<Function>>, Vec<Function>);

struct Reader<'a> {
    types: TypesRef<'a>,
    imported: &'a HashMap<ResourceId, Imported<'a>>,
    exported: bool,
    left: usize,
}

impl<'a> Reader<'a> {
    fn side(&mut self, items: &[(&str, &ComponentItem)], root: &Named<'_>) -> Result<Side, SignatureError> {
        let (mut interfaces, mut functions) = (BTreeMap::new(), Vec::new());
        for (name, item) in items {
            match &item.ty {
                ComponentEntityType::Instance(instance) => {
                    if let Some(interface) = interface_of(name) {
                        let mut functions = self.instance(*instance)?;
                        if is_adapted(&interface) {
                            functions.iter_mut().for_each(|function| function.foreign = None);
                        }
                        interfaces.insert(interface, functions);
                    }
                }
                ComponentEntityType::Func(id) => functions.push(self.function(name, *id, root)?),
                _ => {}
            }
        }
        Ok((interfaces, functions))
    }

    fn instance(&mut self, id: ComponentInstanceTypeId) -> Result<Vec<Function>, SignatureError> {
        let types = self.types;
        let Some(instance) = types.get(id) else { return Ok(Vec::new()) };
        let named = Named::of(instance.exports.iter().map(|(name, item)| (name.as_str(), item)));
        let mut functions = Vec::new();
        for (name, item) in &instance.exports {
            if let ComponentEntityType::Func(id) = item.ty {
                functions.push(self.function(name, id, &named)?);
            }
        }
        Ok(functions)
    }

    fn function(&mut self, name: &str, id: ComponentFuncTypeId, named: &Named<'_>) -> Result<Function, SignatureError> {
        let types = self.types;
        let function = types.get(id).ok_or_else(|| SignatureError::Invalid(format!("{name} has no type")))?;
        let mut walk = Walk { reader: self, named, function: name, depth: 0, foreign: None };
        let name = walk.text(name)?;
        let params = function.params.iter().map(|(name, ty)| Ok((walk.text(name)?, walk.value(*ty)?)));
        let params = params.collect::<Result<_, SignatureError>>()?;
        let result = function.result.map(|ty| walk.value(ty)).transpose()?;
        Ok(Function { name, params, result, is_async: function.async_, foreign: walk.foreign })
    }
}

/// The types of one function.
struct Walk<'r, 'a, 'n> {
    reader: &'r mut Reader<'a>,
    named: &'n Named<'n>,
    function: &'n str,
    depth: usize,
    foreign: Option<Foreign>,
}

impl Walk<'_, '_, '_> {
    fn spend(&mut self, size: usize) -> Result<(), SignatureError> {
        let left = self.reader.left.checked_sub(size.saturating_add(16));
        self.reader.left = left.ok_or_else(|| SignatureError::TooLarge(short(self.function)))?;
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<String, SignatureError> {
        self.spend(text.len())?;
        Ok(text.to_owned())
    }

    fn texts<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) -> Result<Vec<String>, SignatureError> {
        texts.into_iter().map(|text| self.text(text.as_ref())).collect()
    }

    fn value(&mut self, ty: ComponentValType) -> Result<Type, SignatureError> {
        self.spend(0)?;
        let id = match ty {
            ComponentValType::Primitive(primitive) => return Ok(plain(primitive)),
            ComponentValType::Type(id) => id,
        };
        if self.depth >= value::MAX_DEPTH {
            return Err(SignatureError::TooDeep(short(self.function)));
        }
        self.depth += 1;
        let inner = self.defined(id);
        self.depth -= 1;
        let inner = inner?;
        match self.named.types.get(&id) {
            Some(name) => Ok(Type::Named(self.text(name)?, Box::new(inner))),
            None => Ok(inner),
        }
    }

    fn boxed(&mut self, ty: ComponentValType) -> Result<Box<Type>, SignatureError> {
        self.value(ty).map(Box::new)
    }

    fn optional(&mut self, ty: Option<ComponentValType>) -> Result<Option<Box<Type>>, SignatureError> {
        ty.map(|ty| self.boxed(ty)).transpose()
    }

    fn defined(&mut self, id: ComponentDefinedTypeId) -> Result<Type, SignatureError> {
        let types = self.reader.types;
        let missing = || SignatureError::Invalid(format!("{} mentions an unknown type", short(self.function)));
        Ok(match types.get(id).ok_or_else(missing)? {
            ComponentDefinedType::Primitive(primitive) => plain(*primitive),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| Ok((self.text(name)?, self.value(*ty)?)));
                Type::Record(fields.collect::<Result<_, SignatureError>>()?)
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant
                    .cases
                    .iter()
                    .map(|(name, case)| Ok((self.text(name)?, case.ty.map(|ty| self.value(ty)).transpose()?)));
                Type::Variant(cases.collect::<Result<_, SignatureError>>()?)
            }
            ComponentDefinedType::List { element, .. } => Type::List(self.boxed(*element)?),
            ComponentDefinedType::Map { key, value, .. } => Type::Map(self.boxed(*key)?, self.boxed(*value)?),
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                Type::FixedList(self.boxed(*element)?, *length)
            }
            ComponentDefinedType::Tuple(tuple) => {
                Type::Tuple(tuple.types.iter().map(|ty| self.value(*ty)).collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Flags(names) => Type::Flags(self.texts(names.iter().map(|name| name.as_str()))?),
            ComponentDefinedType::Enum(names) => Type::Enum(self.texts(names.iter().map(|name| name.as_str()))?),
            ComponentDefinedType::Option { ty, .. } => Type::Option(self.boxed(*ty)?),
            ComponentDefinedType::Result { ok, err, .. } => Type::Result(self.optional(*ok)?, self.optional(*err)?),
            ComponentDefinedType::Own(id) => Type::Own(self.resource(*id)?),
            ComponentDefinedType::Borrow(id) => Type::Borrow(self.resource(*id)?),
            ComponentDefinedType::Future { ty, .. } => Type::Future(self.optional(*ty)?),
            ComponentDefinedType::Stream { ty, .. } => Type::Stream(self.optional(*ty)?),
        })
    }

    fn resource(&mut self, id: AliasableResourceId) -> Result<String, SignatureError> {
        let id = id.resource();
        let imported = self.reader.imported.get(&id);
        let declared = imported.map_or("resource", |imported| imported.name);
        let name = self.text(self.named.resources.get(&id).copied().unwrap_or(declared))?;
        if let Some(Imported { owner, .. }) = imported
            && self.foreign.is_none()
            && (self.reader.exported || is_of_host(owner))
        {
            self.foreign = Some(Foreign { resource: name.clone(), owner: self.text(owner)? });
        }
        Ok(name)
    }
}

/// Whether the host serves what is imported under this name.
fn is_of_host(name: &str) -> bool {
    interface_of(name).is_some_and(|interface| server_of(&interface) == Server::Host)
}

/// Whether hosts have an adapter for an interface, which brings its handles to whoever is to have them.
fn is_adapted(interface: &Interface) -> bool {
    WASI_RELEASES.contains(&interface.package()) || published::functions(interface).is_some()
}

/// The interface of this name; one without a package belongs to the component itself.
fn interface_of(name: &str) -> Option<Interface> {
    let package = ROOT.split('/').next().unwrap_or(ROOT);
    if name.contains(':') { name.parse().ok() } else { format!("{package}/{name}").parse().ok() }
}

/// A name that somebody else chose, as far as it fits a message.
fn short(name: &str) -> String {
    name.chars().take(80).collect()
}

fn plain(primitive: PrimitiveValType) -> Type {
    match primitive {
        PrimitiveValType::Bool => Type::Bool,
        PrimitiveValType::S8 => Type::S8,
        PrimitiveValType::U8 => Type::U8,
        PrimitiveValType::S16 => Type::S16,
        PrimitiveValType::U16 => Type::U16,
        PrimitiveValType::S32 => Type::S32,
        PrimitiveValType::U32 => Type::U32,
        PrimitiveValType::S64 => Type::S64,
        PrimitiveValType::U64 => Type::U64,
        PrimitiveValType::F32 => Type::F32,
        PrimitiveValType::F64 => Type::F64,
        PrimitiveValType::Char => Type::Char,
        PrimitiveValType::String => Type::String,
        PrimitiveValType::ErrorContext => Type::ErrorContext,
    }
}
