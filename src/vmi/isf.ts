/** The parts of an "intermediate symbol file" (ISF) of Volatility 3, as JSON has them. */

/** What a field is. */
export interface IsfType {
  readonly kind: string;
  readonly name?: string;
  readonly count?: number;
  readonly subtype?: IsfType;
  /** Of a bit field: what it is part of, and where. */
  readonly type?: IsfType;
  readonly bit_position?: number;
  readonly bit_length?: number;
}

export interface IsfField {
  readonly offset: number;
  readonly type: IsfType;
  readonly anonymous?: boolean;
}

export interface IsfStruct {
  readonly kind: string;
  readonly size: number;
  readonly fields: Readonly<Record<string, IsfField>>;
}

export interface IsfBase {
  readonly size: number;
  readonly signed: boolean;
  readonly kind: string;
  readonly endian?: string;
}

export interface IsfEnum {
  readonly size: number;
  readonly base?: string;
  readonly constants: Readonly<Record<string, number>>;
}

export interface IsfSymbol {
  readonly address: number;
  /** Base64. */
  readonly constant_data?: string;
}

export interface IsfFile {
  readonly metadata: { readonly format?: string };
  readonly base_types: Readonly<Record<string, IsfBase>>;
  readonly user_types: Readonly<Record<string, IsfStruct>>;
  readonly enums?: Readonly<Record<string, IsfEnum>>;
  readonly symbols: Readonly<Record<string, IsfSymbol>>;
}
